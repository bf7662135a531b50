"""What the processor can do that Numba compiles for: ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` may name another one
than this machine has."""


def target_features():
    """The features of Numba's target, as LLVM writes them: ``"+avx2,-avx512f"``; "" where Numba does not say."""
    try:
        from numba.core.registry import cpu_target

        return cpu_target.target_context.codegen().magic_tuple()[2]
    except (ImportError, AttributeError, IndexError):
        return ""


def has(*names):
    """Whether the target is known to have all these features; what it has unsaid is not used."""
    switches = target_features().split(",")
    return all(f"+{name}" in switches and f"-{name}" not in switches for name in names)


HAS_AVX512 = has("avx512f", "avx512bw")
HAS_BYTE_PICKS = HAS_AVX512 and has("avx512vbmi")
