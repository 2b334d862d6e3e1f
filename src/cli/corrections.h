/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* weir bill credit, charge and corrections: what was booked later, and why. */

#include "command.h"

/* The operands begin with one of the three words. Errors: as a command's. */
int weir_corrections(const struct weir_args *args, struct weir_err *err);
