/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox under the conformance suite. This program is its own "weir": as `sandbox-machine` it is
 * the machine's process, and as `agent` an agent that does nothing until it is told to end.
 */

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cloud/sandbox/sandbox.h"
#include "conformance.h"

static int idle_agent(void)
{
    sigset_t set;
    int sig;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigwait(&set, &sig);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && weir_streq(argv[1], "sandbox-machine")) {
        return weir_sandbox_machine_main(argc - 1, argv + 1);
    }
    if (argc > 1 && weir_streq(argv[1], "agent")) {
        return idle_agent();
    }
    static char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) {
        return 1;
    }
    /* Built here with own offers: the suite does not depend on a price list. */
    const struct weir_conformance_subject subject = {
        .name = "sandbox",
        .ops = &weir_sandbox_provider,
        .self_exe = self,
    };
    return weir_conformance_run(&subject);
}
