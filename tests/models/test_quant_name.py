"""Names of GGUFs, as those who publish them write them."""

import pytest

from models.quant_name import part_of, stem, type_in, without_type


@pytest.mark.parametrize(("name", "type", "rest"), [
    ("gemma-3-4b-it-Q4_K_M.gguf", "Q4_K_M", "gemma-3-4b-it-"),
    ("gemma-2b-it-q4_k_m.gguf", "Q4_K_M", "gemma-2b-it-"),                      # lmstudio-ai, ggml-org's space
    ("gemma-2b-it.Q8_0.gguf", "Q8_0", "gemma-2b-it."),                          # mradermacher, brittlewis12
    ("gemma-3-27b-it.i1-IQ1_S.gguf", "IQ1_S", "gemma-3-27b-it."),
    ("gemma-3-4b-it-UD-Q4_K_XL.gguf", "UD-Q4_K_XL", "gemma-3-4b-it-"),          # unsloth
    ("gemma-3-4b-it-UD-IQ2_XXS.gguf", "UD-IQ2_XXS", "gemma-3-4b-it-"),
    ("gemma-4-E2B_q4_0-it.gguf", "Q4_0", "gemma-4-E2B_-it"),                    # google
    ("gemma-3-4b-it-qat-q4_0-unquantized-Q6_K.gguf", "Q6_K", "gemma-3-4b-it-qat--unquantized-"),
    ("gemma-2-9b-it-Q4_K_M-fp16.gguf", "Q4_K_M-F16", "gemma-2-9b-it--"),        # bartowski: embeddings as floats
    ("gemma-2-9b-it-Q8_0_L.gguf", "Q8_0_L", "gemma-2-9b-it-"),
    ("gemma-2-9b-it-Q4_0_4_4.gguf", "Q4_0_4_4", "gemma-2-9b-it-"),
    ("google_gemma-3-27b-it-bf16-00001-of-00002.gguf", "BF16", "google_gemma-3-27b-it-"),
    ("mmproj-model-f16-4B.gguf", "F16", "mmproj-model--4B"),
    ("model-MXFP4_MOE.GGUF", "MXFP4_MOE", "model-"), ("model-TQ1_0.gguf", "TQ1_0", "model-"),
    ("gemma-3-4b-it-IQ4_NL.gguf", "IQ4_NL", "gemma-3-4b-it-"), ("UD-Q4_K_XL", "UD-Q4_K_XL", ""),
    ("2b_it_v2.gguf", "", "2b_it_v2"), ("gemma-2b-it.gguf", "", "gemma-2b-it"),
    ("iq-test-seq2.gguf", "", "iq-test-seq2"), ("bf160.gguf", "", "bf160"), ("", "", "")])
def test_a_name_says_its_type(name, type, rest):
    assert type_in(name) == type and without_type(name) == rest


def test_parts_are_numbered():
    assert part_of("m-Q8_0-00002-of-00003.gguf") == (2, 3) and part_of("m-Q8_0.gguf") is None
    assert part_of("m-2-of-3.gguf") is None and part_of("m-00001-of-00002-Q8_0.gguf") is None
    assert stem("Q8_0/m-Q8_0-00002-of-00003.gguf") == stem("Q8_0/m-Q8_0.gguf") == "Q8_0/m-Q8_0"
