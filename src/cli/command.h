/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command table: one row per command, from which dispatch, help, man pages and completions are
 * made. A command writes its result on standard output and its talk on standard error.
 */

#include "options.h"

/* Returns a negative -WEIR_E* code with the text in err, or the exit status of the program. */
typedef int weir_cli_fn(const struct weir_args *args, struct weir_err *err);
/* For commands that read their words themselves. */
typedef int weir_cli_raw_fn(int argc, char **argv);

struct weir_cli_command {
    const char *name;
    const char *group; /* heading in the list of commands; NULL: hidden */
    weir_cli_fn *fn;
    weir_cli_raw_fn *raw; /* instead of fn: no options are parsed */
    const char *operands; /* for the synopsis: "JOB[_INDEX]..." */
    const char *summary;  /* one line, no full stop */
    const struct weir_opt *opts;
    const char *help;     /* paragraphs for --help and the man page; an empty line parts them */
    const char *examples; /* one per line: "command\tmeaning" */
    const char *exits;    /* one per line: "code\tmeaning", beyond those of all commands */
    unsigned operands_min;
    unsigned operands_max;
    enum weir_opt_order order;
    int failure_exit; /* not 0: the status for every failure of weir itself */
};

/* Ends with a row without a name. */
extern const struct weir_cli_command weir_cli_commands[];
/* Options that every command takes. */
extern const struct weir_opt weir_common_options[];
/* Environment variables that the program reads: "NAME\tmeaning" lines. */
extern const char weir_environment_text[];

/* NULL where there is none. */
const struct weir_cli_command *weir_cli_command_find(const char *name);

/* The whole program: argv[1] names the command. Returns the exit status. */
int weir_cli_main(int argc, char **argv);

weir_cli_fn weir_cmd_agent;
weir_cli_fn weir_cmd_alerts;
weir_cli_fn weir_cmd_audit;
weir_cli_fn weir_cmd_bill;
weir_cli_fn weir_cmd_cancel;
weir_cli_fn weir_cmd_completion;
weir_cli_fn weir_cmd_doctor;
weir_cli_fn weir_cmd_events;
weir_cli_fn weir_cmd_explain;
weir_cli_fn weir_cmd_export;
weir_cli_fn weir_cmd_help;
weir_cli_fn weir_cmd_jobs;
weir_cli_fn weir_cmd_down;
weir_cli_fn weir_cmd_leases;
weir_cli_fn weir_leases_audit; /* weir leases --audit; in cmd_down.c */
weir_cli_fn weir_cmd_logs;
weir_cli_fn weir_cmd_nodes;
weir_cli_fn weir_cmd_offers;
weir_cli_fn weir_cmd_pools;
weir_cli_fn weir_cmd_budget;
weir_cli_fn weir_cmd_rule;
weir_cli_fn weir_cmd_policy;
weir_cli_fn weir_cmd_quota;
weir_cli_fn weir_cmd_project;
weir_cli_fn weir_cmd_reconcile;
weir_cli_fn weir_cmd_run;
weir_cli_fn weir_cmd_sandbox;
weir_cli_fn weir_cmd_serve;
weir_cli_fn weir_cmd_show;
weir_cli_fn weir_cmd_sim;
weir_cli_fn weir_cmd_submit;
weir_cli_fn weir_cmd_token;
weir_cli_fn weir_cmd_login;
weir_cli_fn weir_cmd_logout;
weir_cli_fn weir_cmd_top;
weir_cli_fn weir_cmd_user;
weir_cli_fn weir_cmd_version;
weir_cli_fn weir_cmd_wait;

extern const struct weir_opt weir_opts_agent[];
extern const struct weir_opt weir_opts_alerts[];
extern const struct weir_opt weir_opts_audit[];
extern const struct weir_opt weir_opts_bill[];
extern const struct weir_opt weir_opts_doctor[];
extern const struct weir_opt weir_opts_events[];
extern const struct weir_opt weir_opts_explain[];
extern const struct weir_opt weir_opts_export[];
extern const struct weir_opt weir_opts_help[];
extern const struct weir_opt weir_opts_jobs[];
extern const struct weir_opt weir_opts_leases[];
extern const struct weir_opt weir_opts_down[];
extern const struct weir_opt weir_opts_nodes[];
extern const struct weir_opt weir_opts_pools[];
extern const struct weir_opt weir_opts_logs[];
extern const struct weir_opt weir_opts_offers[];
extern const struct weir_opt weir_opts_budget[];
extern const struct weir_opt weir_opts_rule[];
extern const struct weir_opt weir_opts_policy[];
extern const struct weir_opt weir_opts_quota[];
extern const struct weir_opt weir_opts_project[];
extern const struct weir_opt weir_opts_reconcile[];
extern const struct weir_opt weir_opts_run[];
extern const struct weir_opt weir_opts_serve[];
extern const struct weir_opt weir_opts_show[];
extern const struct weir_opt weir_opts_sim[];
extern const struct weir_opt weir_opts_submit[];
extern const struct weir_opt weir_opts_token[];
extern const struct weir_opt weir_opts_login[];
extern const struct weir_opt weir_opts_logout[];
extern const struct weir_opt weir_opts_top[];
extern const struct weir_opt weir_opts_user[];
extern const struct weir_opt weir_opts_wait[];
