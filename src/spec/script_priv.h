/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scripts with #SBATCH lines. script.c splits the script into options and resolves them into a
 * request; script_options.c is the table of sbatch's options with what weir does about each.
 */

#include "spec/spec_priv.h"

/* What the options said; 0 or NULL where they said nothing. */
struct script {
    const char *file_name;
    uint32_t line;
    uint32_t column;
    const char *option; /* being read, for messages: "--gres" or "-N" */
    struct weir_spec *spec;
    struct weir_gpu_table *gpus;
    struct weir_err *err;
    uint32_t nodes;
    uint32_t tasks;
    uint32_t tasks_per_node;
    uint32_t cpus_per_task;
    uint32_t cpus_per_gpu;
    uint32_t cpus_min;
    uint64_t mem_mib;
    uint64_t mem_per_cpu_mib;
    uint64_t mem_per_gpu_mib;
    /* which of --gres, --gpus-per-node, --gpus-per-task and --gpus were given */
    bool has_gres;
    bool has_per_node;
    bool has_per_task;
    bool has_total;
    struct weir_gpu_wish gres;
    struct weir_gpu_wish per_node;
    struct weir_gpu_wish per_task;
    struct weir_gpu_wish total;
    /* the count of total, which may be more than one node holds */
    uint32_t total_gpus;
    char *constraint;
};

enum script_argument {
    ARG_NONE,
    ARG_REQUIRED,
    ARG_OPTIONAL, /* long form only with '=' */
};

enum script_action {
    DO_READ,   /* read() honours it */
    DO_ACCEPT, /* weir does this anyway, or it only concerns sbatch's own output */
    DO_WARN,
    DO_REFUSE,
};

struct script_option {
    const char *name; /* long form without dashes */
    char letter;      /* short form; '\0': none */
    enum script_argument argument;
    enum script_action action;
    int (*read)(struct script *sc, struct weir_sv value);
    const char *text; /* of the warning or refusal */
};

extern const struct script_option script_options[];
extern const size_t n_script_options;

int script_fail(const struct script *sc, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts the place before the message that err holds. */
int script_fail_prefix(const struct script *sc, int code);
void script_warn(const struct script *sc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
