// For columns without zeros, as in zero_rows.py: more rows than any image has.
#pragma once

constexpr int NEVER = 1 << 28;
