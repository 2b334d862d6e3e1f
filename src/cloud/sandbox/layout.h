/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files that driver and machine share. <root> is data_dir/sandbox:
 *
 *     lock                 held while a launch looks for its token and makes its directory
 *     faults               see sandbox.h
 *     instances/<id>/      machines that exist; <id> follows from the launch token alone
 *     gone/<id>/           machines that have ended
 *
 * and of each machine:
 *
 *     launch.json  what was asked for; complete before the directory gets its name
 *     state.json   what became of it; always replaced as a whole
 *     lock         locked by the machine's process for as long as it lives
 *     wake         a FIFO: a byte makes the machine look at its flags
 *     terminate, reclaim   flags
 *     token, ca.pem, notice.json, agent.log, machine.log, agent/
 */

#include "cloud/provider.h"

enum {
    SANDBOX_ID_SIZE = 24,
    SANDBOX_PATH_SIZE = 1024,
    SANDBOX_URL_SIZE = 512,
    SANDBOX_FILE_BYTES_MAX = 256 << 10,
};

/* launch.json */
struct sandbox_spec {
    char token[WEIR_TOKEN_SIZE];
    char owner[128];
    uint64_t lease;
    char gpu[64]; /* model's name; "" without GPUs */
    uint32_t gpus;
    uint32_t cpu_milli;                           /* 0: as the host has it */
    uint64_t mem_mib;                             /* 0: as the host has it */
    char provider_offer[WEIR_INSTANCE_TYPE_SIZE]; /* instance type, for people who look */
    char region[WEIR_REGION_SIZE];
    bool spot;
    int64_t price_micro_per_hour;
    char broker_url[SANDBOX_URL_SIZE];
    char self_exe[SANDBOX_PATH_SIZE];
    bool has_ca;
    bool boot_never;
    bool keep_disk;
    struct weir_dur boot_delay;
    struct weir_dur reclaim_after; /* 0: never by itself */
    struct weir_dur notice;
    struct weir_wall expires;
};

/* state.json */
struct sandbox_state {
    enum weir_instance_state state;
    struct weir_wall launched;
    struct weir_wall ended;
    bool reclaimed;
    struct weir_wall reclaim_at;
    int64_t pid;
    char reason[96]; /* of the end */
};

/* Joins with '/', false where the result is too long. */
bool sandbox_path(char ret[static SANDBOX_PATH_SIZE], const char *dir, const char *name);
/* The id of the instance that a token makes: "sb-" and 16 hex digits. */
void sandbox_id(const char *token, char ret[static SANDBOX_ID_SIZE]);
bool sandbox_id_is_valid(const char *id);

/* Replaces or makes dir/name with the content, durably and as a whole. Errors: -WEIR_EIO, -WEIR_ENOSPACE. */
int sandbox_write_file(const char *dir, const char *name, struct weir_sv content, struct weir_err *err);
/* At most SANDBOX_FILE_BYTES_MAX; the caller frees *ret. Errors: -WEIR_ENOTFOUND, -WEIR_EIO, -WEIR_ELIMIT. */
int sandbox_read_file(const char *dir, const char *name, char **ret, size_t *ret_n, struct weir_err *err);

int sandbox_write_spec(const char *dir, const struct sandbox_spec *s, struct weir_err *err);
/* Errors: those of reading, -WEIR_ECORRUPT. */
int sandbox_read_spec(const char *dir, struct sandbox_spec *ret, struct weir_err *err);
int sandbox_write_state(const char *dir, const struct sandbox_state *s, struct weir_err *err);
int sandbox_read_state(const char *dir, struct sandbox_state *ret, struct weir_err *err);

/* Makes a flag file and wakes the machine. */
int sandbox_raise_flag(const char *dir, const char *flag, struct weir_err *err);
/* True where a process holds the machine's lock. */
bool sandbox_is_alive(const char *dir);
/* Takes the machine's lock; the descriptor holds it, also in children that share it. Negative:
 * -WEIR_EINUSE where another process has it, -WEIR_EIO. */
int sandbox_take_lock(const char *dir, struct weir_err *err);
/* Removes a directory with all that is in it; does not follow links. */
void sandbox_remove_tree(const char *path);
