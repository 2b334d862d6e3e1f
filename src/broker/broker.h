/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The broker: `weir serve`. One deciding thread runs a libuv loop; server threads parse requests and post
 * commands; everything that a command changed is committed before it is answered.
 */

#include "base/err.h"
#include "base/log.h"

struct weir_broker_conf {
    const char *listen;       /* NULL: the configuration's, else 127.0.0.1:7070 */
    const char *data_dir;     /* NULL: $XDG_DATA_HOME/weir, else ~/.local/share/weir */
    const char *config_file;  /* NULL: data_dir/weir.yaml where it exists */
    const char *declare_gpus; /* "A100:4" for the local agent; NULL: as found */
    const char *tls_cert;     /* PEM files in place of the configuration's; both or none */
    const char *tls_key;
    bool no_agent;            /* do not start an agent for this host */
    enum weir_log_level log_level;
    const char *self_exe;     /* path of the weir program, for the agent and sandbox machines */
};

/* Runs until SIGTERM or SIGINT. Prints one line on standard output when it is ready:
 * "weir: serving on http://127.0.0.1:7070 ...". Errors: -WEIR_EINUSE, -WEIR_ECONFIG, the store's. */
int weir_broker_main(const struct weir_broker_conf *conf, struct weir_err *err);

/* The default data directory; false where no home directory is known. */
bool weir_broker_default_dir(char *buf, size_t size);
