/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Options that `weir submit` and `weir run` share: what a job may be given on the command line, over
 * what its file says; and what the caller's surroundings (directory, environment) add.
 */

#include "api_client.h"
#include "spec/spec.h"

#define WEIR_SPEC_OPTIONS                                                                                              \
    {"name", 'J', WEIR_OPT_TEXT, .arg = "NAME", .help = "name of the job"},                                            \
        {"project", 'A', WEIR_OPT_TEXT, .arg = "NAME", .help = "project that pays"},                                   \
        {"tag", 0, WEIR_OPT_TEXT, .many = true, .arg = "KEY=VALUE", .help = "label for bills; may be repeated"},       \
        {"gpus", 'G', WEIR_OPT_TEXT, .arg = "GPUS",                                                                    \
         .help = "GPUs per node: A100:2, a bare number for any model, H100:8,A100:8 for any of these, none"},          \
        {"cpus", 'c', WEIR_OPT_TEXT, .arg = "N", .help = "CPU cores per node; 0.5 is half a core"},                    \
        {"memory", 'm', WEIR_OPT_TEXT, .arg = "SIZE", .help = "memory per node: 64G, 512M; a bare number is GiB"},     \
        {"nodes", 'N', WEIR_OPT_COUNT, .arg = "N", .help = "nodes that start together", .min = 1, .max = 256},         \
        {"array", 'a', WEIR_OPT_TEXT, .arg = "RANGES", .help = "an array of tasks: 0-99, 1,3,5-9:2, 0-99%10"},         \
        {"image", 0, WEIR_OPT_TEXT, .arg = "IMAGE", .help = "container image to run in"},                              \
        {"workdir", 'D', WEIR_OPT_TEXT, .arg = "DIR", .help = "directory to run in"},                                  \
        {"env",                                                                                                        \
         'e',                                                                                                          \
         WEIR_OPT_TEXT,                                                                                                \
         .many = true,                                                                                                 \
         .arg = "NAME[=VALUE]",                                                                                        \
         .help = "environment variable; without a value, the caller's; may be repeated"},                              \
        {"clean-env", 0, WEIR_OPT_FLAG, .help = "pass nothing of the caller's environment"},                           \
        {"priority", 0, WEIR_OPT_COUNT, .arg = "N", .help = "0 to 1000, higher first (default 50)", .max = 1000},      \
        {"max-duration", 't', WEIR_OPT_DURATION, .arg = "TIME", .help = "longest run time of an attempt: 12h"},        \
        {"expected", 0, WEIR_OPT_DURATION, .arg = "TIME", .help = "run time that you expect; helps to decide"},        \
        {"deadline", 0, WEIR_OPT_TEXT, .arg = "WHEN", .help = "when it must be done: 36h from now, or a time"},        \
        {"delay-cost", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "what an hour of waiting costs you"},               \
        {"max-cost", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "most that a task may cost, all attempts"},           \
        {"retries", 0, WEIR_OPT_COUNT, .arg = "N", .help = "runs again after failures of its own", .max = 1000},       \
        {"checkpoint", 0, WEIR_OPT_TEXT, .arg = "PATH", .help = "where the job writes its checkpoints"},               \
        {"checkpoint-every", 0, WEIR_OPT_DURATION, .arg = "TIME", .help = "how often it does"},                        \
        {"spot", 0, WEIR_OPT_FLAG, .help = "rent spot machines only"},                                                 \
        {"on-demand", 0, WEIR_OPT_FLAG, .help = "never rent spot machines"},                                           \
        {"local-only", 0, WEIR_OPT_FLAG, .help = "never rent"},                                                        \
        {"same-zone", 0, WEIR_OPT_FLAG, .help = "all nodes of a task in one zone"},                                    \
        {"cloud-only", 0, WEIR_OPT_FLAG, .help = "run on rented machines only"},                                       \
        {"cloud", 0, WEIR_OPT_TEXT, .many = true, .arg = "NAME", .help = "rent there only; may be repeated"},          \
    {                                                                                                                  \
        "region", 0, WEIR_OPT_TEXT, .many = true, .arg = "NAME", .help = "rent there only: eu-*; may be repeated"      \
    }

/* Changes spec as the options say; weir_spec_finish is called at the end. Errors: -WEIR_EINVAL,
 * -WEIR_EOVERFLOW, -WEIR_ELIMIT. */
int weir_spec_args_apply(const struct weir_args *args, struct weir_spec *spec, struct weir_gpu_table *gpus,
                         struct weir_err *err);

/*
 * Gives the job the caller's directory and part of the environment, for scripts and commands; makes
 * a relative workdir absolute. Only where the broker runs on this host: elsewhere neither means
 * anything. What the job sets itself stays.
 */
int weir_spec_args_surroundings(const struct weir_args *args, const struct weir_client *api, struct weir_spec *spec,
                                struct weir_err *err);

/* Shows spec's and then the broker's warnings on standard error. answer may be NULL. */
void weir_spec_args_warn(const char *file, const struct weir_spec *spec, const json_t *answer);

/* Posts the job. *ret is the broker's answer. */
int weir_spec_args_post(struct weir_client *api, const struct weir_spec *spec, const struct weir_gpu_table *gpus,
                        bool dry_run, json_t **ret, struct weir_err *err);
