/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Help, man pages and shell completions, all written from the command table. */

#include "base/str.h"
#include "command.h"

enum { WEIR_HELP_BYTES_MAX = 1 << 20 };

/* The list of commands by group. */
void weir_help_overview(struct weir_str *out);
/* "usage: weir jobs [OPTION]..." without a newline. */
void weir_help_usage(const struct weir_cli_command *c, struct weir_str *out);
void weir_help_command(const struct weir_cli_command *c, struct weir_str *out);
/* Man page sources (man(7) macros): weir(1) and weir-COMMAND(1). */
void weir_help_man_overview(struct weir_str *out);
void weir_help_man_command(const struct weir_cli_command *c, struct weir_str *out);
/* A completion script. False where the shell is not one of bash, zsh, fish. */
bool weir_help_completion(const char *shell, struct weir_str *out);
