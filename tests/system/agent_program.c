/* SPDX-License-Identifier: Apache-2.0 */

/* Runs an agent for the system tests: "agent_program KEY=VALUE ...". Not installed. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"

static const char *value_of(int argc, char **argv, const char *key)
{
    size_t n = strlen(key);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=') {
            return argv[i] + n + 1;
        }
    }
    return NULL;
}

static uint64_t number_of(int argc, char **argv, const char *key)
{
    uint64_t v = 0;
    const char *text = value_of(argc, argv, key);
    if (text != NULL && weir_parse_u64(weir_sv_of(text), 0, INT64_MAX, &v, NULL) < 0) {
        (void)fprintf(stderr, "%s is not a number\n", key);
        exit(2);
    }
    return v;
}

int main(int argc, char **argv)
{
    struct weir_err err = {0};
    weir_log_setup("weir-agent", WEIR_LOG_INFO);
    const char *kill_dir = value_of(argc, argv, "kill");
    if (kill_dir != NULL) {
        int rc = weir_agent_kill_runs(kill_dir, weir_dur_s(10), &err);
        (void)fprintf(stderr, "%s", rc < 0 ? err.text : "");
        return rc < 0 ? weir_error_exit_status(rc) : 0;
    }
    const struct weir_agent_conf conf = {.url = value_of(argc, argv, "url"),
                                         .token = value_of(argc, argv, "token"),
                                         .dir = value_of(argc, argv, "dir"),
                                         .name = value_of(argc, argv, "name"),
                                         .gpus = value_of(argc, argv, "gpus"),
                                         .nvml_path = value_of(argc, argv, "nvml"),
                                         .lease = number_of(argc, argv, "lease"),
                                         .lease_expires = {(int64_t)number_of(argc, argv, "lease_expires")},
                                         .notice_path = value_of(argc, argv, "notice"),
                                         .cgroup_root = value_of(argc, argv, "cgroup_root"),
                                         .log_bytes_max = number_of(argc, argv, "log_bytes_max"),
                                         .protocol = (unsigned)number_of(argc, argv, "protocol")};
    int rc = weir_agent_main(&conf, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "weir-agent: %s\n", err.text);
    }
    return rc < 0 ? weir_error_exit_status(rc) : 0;
}
