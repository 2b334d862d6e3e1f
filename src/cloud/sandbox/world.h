/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The sandbox's side of the machines' directories: everything that touches files and may wait, apart
 * from the event loop. All functions may run in worker threads at the same time; what they share is
 * the file system, and a launch holds the lock file while it decides.
 */

#include "cloud/sandbox/layout.h"

enum { SANDBOX_PAGE_MAX = 1000 };

/* Set once at init, then only read. */
struct sandbox_world {
    char root[SANDBOX_PATH_SIZE]; /* data_dir/sandbox */
    char owner[128];
    char self_exe[SANDBOX_PATH_SIZE];
    uint32_t capacity;
    uint32_t page_size;
};

/* What a launch asks for beyond the machine's own specification. */
struct sandbox_launch {
    struct sandbox_spec spec;
    const char *join_token;
    const char *ca_pem;    /* NULL: none */
    uint32_t gpu_capacity; /* of the spec's model; UINT32_MAX: not limited */
    bool start;            /* false: make the directory, do not start the process */
    /* A refusal that was asked for by a fault; applies only where the token is new. */
    enum weir_provider_class refuse;
    const char *refuse_text;
};

/* Makes the directories where they are missing; starts the processes of machines that were made but
 * not started, buries those whose process was killed, forgets what ended a month ago. */
int sandbox_world_open(struct sandbox_world *w, struct weir_wall now, struct weir_err *err);

/* Class of the result; *ret is set where it is OK, text where it is not. *ret_new: the token was not
 * known before. */
enum weir_provider_class sandbox_world_launch(const struct sandbox_world *w, const struct sandbox_launch *l,
                                              struct weir_instance *ret, bool *ret_new, struct weir_err *text);
/* False where this owner has no such instance. */
bool sandbox_world_describe(const struct sandbox_world *w, const char *id, struct weir_instance *ret);
/* Instances of this owner that are not gone, in the order of their ids, from the one after `after`
 * ("" : from the first). At most page_size; *ret_more says whether others follow. */
size_t sandbox_world_list(const struct sandbox_world *w, const char *after, struct weir_instance *ret, bool *ret_more);
/* OK also where it is gone or was never there; REFUSED where it is another owner's. */
enum weir_provider_class sandbox_world_flag(const struct sandbox_world *w, const char *id, const char *flag,
                                            struct weir_err *text);
