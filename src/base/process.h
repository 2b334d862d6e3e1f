/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* What a process that holds secrets shows to others of its user. Not for the pure parts. */

/*
 * From now on nobody but root reads this process's memory or environment, or traces it: not other processes of the same user, as tasks
 * on this host may be. It leaves no core dump. Kept by children until they execute another program. A build with the
 * address sanitizer is left as it is, as that traces its own process.
 */
void weir_process_conceal(void);

/*
 * Takes every variable out of the environment, here and for what is started later, whose name looks like that of a secret, and keeps
 * it where weir_process_env() alone finds it: some are read late, as a cloud's credentials are at the first call. What was got from
 * getenv before is wiped. Not while another thread may look at the environment. A second call hides what was set since.
 */
void weir_process_hide_secrets(void);

/* As getenv, and of what was hidden too. The answer stays valid and unchanged as long as nobody sets the variable. */
const char *weir_process_env(const char *name);

/*
 * Does a program that this thread starts get the capability (CAP_*), as far as this process has it to give? Where it
 * was given to the process by systemd's AmbientCapabilities every program would, tasks included. Threads that this one
 * starts from now on go by it, too.
 */
void weir_process_lend(unsigned capability, bool on);
