/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Job specifications. Whatever a person writes (weir's YAML, a SkyPilot task file, a script with
 * #SBATCH lines, command-line options) becomes one struct weir_spec; its canonical JSON is what
 * crosses the API, what the store keeps, and what the agent is given.
 *
 * Rules: an unknown key is an error with a suggestion; an option that weir knows of but cannot honour
 * is named in a warning where ignoring it is harmless and refused where ignoring it would change the
 * result. Every size, depth and count is bounded (the WEIR_SPEC_*_MAX below) and the error names
 * file, line, column and key.
 */

#include "base/err.h"
#include "base/str.h"
#include "core/model.h"

struct json_t; /* jansson */

enum {
    WEIR_SPEC_BYTES_MAX = 1 << 20,
    WEIR_SPEC_DEPTH_MAX = 16,
    WEIR_SPEC_ENVS_MAX = 512,
    WEIR_SPEC_TAGS_MAX = 32,
    WEIR_SPEC_MOUNTS_MAX = 64,
    WEIR_SPEC_NAME_MAX = 128, /* names of jobs, projects, users, tags */
    WEIR_SPEC_RANGES_MAX = 64,
    WEIR_SPEC_WARNINGS_MAX = 32,
};

struct weir_pair {
    char *key;
    char *value;
};

/* One piece of an array such as "0-15:4,20". */
struct weir_range {
    uint32_t first;
    uint32_t last; /* inclusive, >= first */
    uint32_t step; /* >= 1 */
};

enum weir_spec_origin {
    WEIR_SPEC_WEIR,     /* weir YAML or JSON */
    WEIR_SPEC_SKYPILOT, /* SkyPilot task file */
    WEIR_SPEC_SLURM,    /* script with #SBATCH lines */
    WEIR_SPEC_COMMAND,  /* weir run -- command */
};

/* All strings are owned; NULL means not given unless said otherwise. */
struct weir_spec {
    char *name;    /* never NULL after a parse: a default is derived */
    char *project; /* NULL: the user's default */
    struct weir_pair *tags;
    size_t n_tags;
    int32_t priority; /* 0..1000, default 50; higher first */
    struct weir_request request;
    char currency[WEIR_CURRENCY_SIZE]; /* that its amounts were said to be in; "": the ledger's, whichever that is */
    /* the array; n_ranges == 0: one task, no array */
    struct weir_range range[WEIR_SPEC_RANGES_MAX];
    size_t n_ranges;
    uint32_t array_parallel; /* at most so many at once; 0: no limit */
    struct weir_wall deadline;     /* absolute; 0: none */
    struct weir_dur deadline_after; /* relative to submission; the broker makes it absolute; 0: none */
    char *image;   /* container image, without "docker:" */
    /* where the command runs, as written: the program that submits makes it absolute; NULL: the
     * run's own directory */
    char *workdir;
    struct weir_pair *envs;
    size_t n_envs;
    struct weir_pair *inputs; /* key: path in the run, value: source URL */
    size_t n_inputs;
    struct weir_pair *outputs;
    size_t n_outputs;
    char *setup; /* shell text run before, once per attempt */
    char *run;   /* shell text (or whole script incl. its #! line); exclusive with argv */
    char **argv; /* NULL-terminated command run without a shell */
    char *checkpoint_path;
    int checkpoint_signal; /* signal number sent before the grace time; 0: SIGTERM */
    /* Slurm's --output and --error as given, with % patterns; NULL: weir's log only */
    char *stdout_path;
    char *stderr_path;
    enum weir_spec_origin origin;
    /* talk for the person who submits; not part of the canonical form */
    char *warning[WEIR_SPEC_WARNINGS_MAX];
    size_t n_warnings;
};

/* Never NULL; all fields at their defaults. */
struct weir_spec *weir_spec_new(void);
void weir_spec_free(struct weir_spec *s);
void weir_spec_freep(struct weir_spec **s);

/*
 * Reads a job file of any of the three kinds; which one is told by its content ("#!" or "#SBATCH":
 * script; otherwise YAML or JSON, and keys that only SkyPilot has make it a SkyPilot file).
 * file_name is for messages only. gpus interns model names.
 * Errors: -WEIR_EINVAL, -WEIR_ELIMIT, -WEIR_EUNSUPPORTED (ignoring the option would change the
 * result), -WEIR_EOVERFLOW. err names file:line:column.
 */
int weir_spec_parse(struct weir_sv text,
                    const char *file_name,
                    struct weir_gpu_table *gpus,
                    struct weir_spec **ret,
                    struct weir_err *err);

/* What the caller sets after the file was read: variables that the file may leave without a value. */
struct weir_spec_given {
    const char *const *env; /* names; borrowed during the call */
    size_t n_envs;
};
/* As weir_spec_parse. */
int weir_spec_parse_given(struct weir_sv text,
                          const char *file_name,
                          struct weir_gpu_table *gpus,
                          const struct weir_spec_given *given,
                          struct weir_spec **ret,
                          struct weir_err *err);

/* Reads the canonical JSON form (already parsed by jansson). Same keys as the YAML form. */
int weir_spec_from_json(const struct json_t *root,
                        struct weir_gpu_table *gpus,
                        struct weir_spec **ret,
                        struct weir_err *err);

/* Writes the canonical JSON; weir_spec_from_json reads it back to an equal spec. */
void weir_spec_to_json(const struct weir_spec *s, const struct weir_gpu_table *gpus, struct weir_str *out);

/*
 * Checks what needs no knowledge of nodes or offers and fills the last defaults (max_duration 24 h,
 * one CPU core per task without GPUs, ...). Called by the parsers; call it again after changing
 * fields by hand.
 */
int weir_spec_finish(struct weir_spec *s, struct weir_err *err);

/* An amount of the spec is said to be in that currency; "" says nothing. Errors: -WEIR_EINVAL: another is said to be in another. */
int weir_spec_note_currency(struct weir_spec *s, const char *currency, struct weir_err *err);

/* The accelerator syntax of --gpus and of `accelerators`: "A100:8", "A100-80GB", "2" (any model),
 * "H100:8,A100:8" (any of them), "none". Fills the alternatives of r. */
int weir_spec_parse_gpus(struct weir_sv text,
                         struct weir_gpu_table *gpus,
                         struct weir_request *r,
                         struct weir_err *err);

/* "0-99%10", "1,3,5-9:2". Overlapping ranges are refused. */
int weir_spec_parse_array(struct weir_sv text, struct weir_spec *s, struct weir_err *err);

/* Warns of each model that is not built in: it may still be what an agent calls its cards, or a typing error. The parsers do so
 * themselves; for a request that was changed afterwards. */
void weir_spec_warn_gpus(struct weir_spec *s, const struct weir_gpu_table *gpus);

/* Number of tasks of the spec: 1 where it is no array. */
uint32_t weir_spec_task_count(const struct weir_spec *s);
/* The index that a person wrote for the ordinal-th task, in the order of the ranges. */
uint32_t weir_array_index(const struct weir_range *range, size_t n, uint32_t ordinal);
/* The inverse; UINT32_MAX where no range has index. */
uint32_t weir_array_ordinal(const struct weir_range *range, size_t n, uint32_t index);

/*
 * "12" or "12_7" (job, array index). *ret_has_index tells which.
 */
int weir_parse_task_ref(struct weir_sv text,
                        struct weir_job_id *ret_job,
                        uint32_t *ret_index,
                        bool *ret_has_index,
                        struct weir_err *err);
