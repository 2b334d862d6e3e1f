/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* weir bill close and closes: months that do not change any more. */

#include "command.h"

/* 'close YYYY-MM'. Errors: as a command's. */
int weir_close_month(const struct weir_args *args, struct weir_err *err);
/* 'closes'. */
int weir_closes_list(const struct weir_args *args, struct weir_err *err);
