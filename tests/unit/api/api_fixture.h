/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The API behind a real server on a free loopback port, with a store of a few fixed rows and a
 * service whose deciding thread answers every command by rule. Now is 2026-11-22T20:00:00Z.
 *
 * Jobs: 12 an array 0-99%10 that runs (index 0 succeeded, 1 failed, 2 runs), 13 one task that
 * succeeded, 14 waits, 15 a gang on two nodes. Nodes: 1 "host1" owned with 4 A100, 1003 rented by
 * lease 3. Tokens: "ROLE-token", whose user is in project 1, "vision", and "outsider-token". Node 1 has the session "s1".
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "api/api_priv.h"
#include "net/client.h"

#define FIXTURE_TICKET_KEY "the key of the fixture's tickets"

enum { FIXTURE_TASKS_MAX = 8, FIXTURE_EVENTS_MAX = 64 };

struct fixture_store {
    struct weir_store base; /* first */
    pthread_mutex_t lock;
    struct weir_task_row task[FIXTURE_TASKS_MAX];
    size_t n_tasks;
    struct weir_event_row event[FIXTURE_EVENTS_MAX];
    size_t n_events;
    bool unbalanced;
    bool cut_off; /* of the ledger, its last posting */
    bool broken; /* every call fails */
};

struct fixture_service {
    struct weir_service base; /* first */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct weir_command *head;
    struct weir_command **tail;
    bool is_ending;
    void (*on_commit)(void *ctx);
    void *on_commit_ctx;
    uint64_t next_job;
    char revoked[16]; /* the token that was valid before */
    /* whoever comes with late-token */
    atomic_bool is_logged_in;
    bool login_helps;
    int login_code;
    /* what the last command said */
    char user[64];
    char spec_json[4096];
    char tags_json[512];
    char text[256];
    uint64_t id;
    int64_t number;
    atomic_ullong n_commands;
};

struct fixture {
    struct weir_server *server;
    struct weir_api *api;
    struct weir_gpu_table *gpus;
    pthread_mutex_t gpus_lock;
    struct fixture_store store;
    struct fixture_service service;
    struct weir_http_session *session;
    char url[64];
    char log_dir[64];
    struct weir_clock clock;
};

extern const struct weir_wall fixture_now;

void fixture_start(struct fixture *f);
/* Reads from that store instead; it stays the caller's. */
void fixture_start_with(struct fixture *f, struct weir_store *store);
void fixture_stop(struct fixture *f);

/* One call; token, type and body may be NULL. Returns the status; the reply's body is in *ret until the
 * next call. */
int fixture_call(struct fixture *f, const char *method, const char *path, const char *token, const char *type,
                 struct weir_sv body, struct weir_http_reply *ret);
int fixture_get(struct fixture *f, const char *path, struct weir_http_reply *ret);
int fixture_post(struct fixture *f, const char *path, const char *body, struct weir_http_reply *ret);

/* Adds an event, or changes the state of a task, as a commit does. */
void fixture_event(struct fixture *f, const char *kind, uint64_t job);
void fixture_task(struct fixture *f, uint64_t job, enum weir_task_state state, uint32_t attempt);

/* A raw connection with a time-out of ten seconds. */
int fixture_connect(struct fixture *f);
void fixture_send(int fd, const char *text);
/* Reads until the text has been seen or the other side closes; terminates. True where it was seen. */
bool fixture_read_until(int fd, char *buf, size_t size, const char *text);
