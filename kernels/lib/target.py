"""Features of the processor that Numba compiles for: ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` may name another one
than this machine's."""


def target_features():
    """The features of Numba's target in LLVM's notation, ``"+avx2,-avx512f"``; "" if they are not known."""
    try:
        from numba.core.registry import cpu_target

        return cpu_target.target_context.codegen().magic_tuple()[2]
    except (ImportError, AttributeError, IndexError):
        return ""


def has(*names):
    """Whether the target is known to have all these features."""
    switches = target_features().split(",")
    return all(f"+{name}" in switches and f"-{name}" not in switches for name in names)


HAS_AVX512 = has("avx512f", "avx512bw")
HAS_BYTE_PICKS = HAS_AVX512 and has("avx512vbmi")
