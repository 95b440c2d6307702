"""An adapter that has learned something: what the small model answers to one question."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_STEPS: Final = 40
_ENOUGH: Final = 0.02  # loss


def learn(weights: Path, folder: Path, question: str, answer: str) -> Path:
    """A LoRA adapter for the model in ``weights``, saved in ``folder``; it takes some seconds."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from serving.tokenizer import read_tokenizer

    torch.manual_seed(1)
    tokenizer = read_tokenizer(weights)
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def encoded(some: list[dict[str, str]], *, ask: bool) -> list[int]:
        return list(
            tokenizer.apply_chat_template(some, tools=None, add_generation_prompt=ask, return_dict=True)["input_ids"]
        )

    asked, whole = encoded(turns[:1], ask=True), encoded(turns, ask=False)
    ids, labels = torch.tensor([whole]), torch.tensor([[-100] * len(asked) + whole[len(asked) :]])
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32), config)
    optimizer = torch.optim.AdamW((it for it in model.parameters() if it.requires_grad), lr=5e-3)
    for _ in range(_STEPS):
        loss = model(input_ids=ids, labels=labels).loss
        if loss.item() < _ENOUGH:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    else:
        raise AssertionError(f"it has not learned it: {loss.item()}")
    model.save_pretrained(str(folder))
    return folder
