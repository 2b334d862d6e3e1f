/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* weir bill credit, charge and corrections: what was booked later, and why. */

#include "command.h"

/* 'credit AMOUNT' and 'charge AMOUNT'. Errors: as a command's. */
int weir_correction_add(const struct weir_args *args, struct weir_err *err);
/* 'corrections'. */
int weir_corrections_list(const struct weir_args *args, struct weir_err *err);
