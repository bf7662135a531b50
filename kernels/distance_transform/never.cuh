// As in zero_rows.py: where a column has no zero; more rows than any image has.
#pragma once

constexpr int NEVER = 1 << 28;
