"""Fields of a chat request: those that are given a meaning here, and those that upstreams know.

Everything else is forwarded too, and named in the log.
"""

from __future__ import annotations

MEANT = frozenset(
    (
        *("model", "messages", "max_tokens", "max_completion_tokens", "n", "stop"),
        *("stream", "stream_options", "visionthink"),
    )
)
"""Used by this server; a turn gets what follows from them."""

OPENAI = frozenset(
    (
        *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
        *("metadata", "modalities", "parallel_tool_calls", "prediction", "presence_penalty"),
        *("prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "response_format"),
        *("safety_identifier", "seed", "service_tier", "store", "temperature", "tool_choice"),
        *("tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options"),
    )
)

SERVERS = frozenset(
    (
        *("add_generation_prompt", "add_special_tokens", "allowed_token_ids", "bad_words"),
        *("best_of", "cache_salt", "chat_template", "chat_template_kwargs", "custom_params"),
        *("continue_final_message", "documents", "ebnf", "echo", "guided_choice"),
        *("guided_decoding_backend", "guided_grammar", "guided_json", "guided_regex"),
        *("guided_whitespace_pattern", "ignore_eos", "include_reasoning", "json_schema"),
        *("include_stop_str_in_output", "kv_transfer_params", "length_penalty", "lora_path"),
        *("logits_processors", "min_p", "min_tokens", "mm_processor_kwargs", "no_stop_trim"),
        *("priority", "prompt_logprobs", "regex", "repetition_penalty", "request_id", "rid"),
        *("return_hidden_states", "return_token_ids", "return_tokens_as_token_ids"),
        *("separate_reasoning", "skip_special_tokens", "spaces_between_special_tokens"),
        *("stop_regex", "stop_token_ids", "stream_reasoning", "structural_tag"),
        *("structured_outputs", "top_k", "truncate_prompt_tokens", "use_beam_search"),
        *("vllm_xargs",),
    )
)
"""Of vLLM and SGLang."""

KNOWN = MEANT | OPENAI | SERVERS

IGNORED_HERE = frozenset(
    (
        *("metadata", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort"),
        *("safety_identifier", "service_tier", "store", "user", "verbosity", "parallel_tool_calls"),
    )
)
"""What a model in this process ignores: OpenAI's controls of its own service, and hints."""
