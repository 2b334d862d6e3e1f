/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the agent decides, as a pure function: weir_agent_step(state, event) -> effects. It owns the
 * session with the broker (join, long poll, acknowledgements, retries with backoff), what is known of
 * every run, which reports are owed, and how far each log was uploaded. It reads no clock, opens no
 * file and starts no process: the program around it (agent.c) does what the effects say and brings
 * back events. Effects must be carried out in the order given; a sync is acknowledged only after
 * everything before it was done.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/map.h"
#include "base/prng.h"
#include "base/vec.h"
#include "base/wtime.h"
#include "core/id.h"
#include "core/model.h"

enum {
    WEIR_AGENT_PROTOCOL = 1,
    WEIR_AGENT_RUNS_MAX = 20000,      /* records held at once; more starts are refused */
    WEIR_AGENT_REPORTS_MAX = 500,     /* in one call */
    WEIR_AGENT_LOGS_IN_FLIGHT_MAX = 4,
    WEIR_AGENT_SYNC_WAIT_MS = 25000,
    WEIR_AGENT_REFUSALS_MAX = 64,     /* kept until reported; more are dropped */
    WEIR_AGENT_LOG_CALL_BYTES_MAX = 1 << 20,
    WEIR_AGENT_GPUS_MAX = 32,
};

/* How a run ended, as the protocol reports it. */
struct weir_agent_end {
    enum weir_reason reason;
    int exit_code;
    int signal;
    struct weir_wall started; /* 0: never did */
    struct weir_wall ended;
    uint64_t log_bytes;
    uint64_t max_rss_mib;
    uint64_t cpu_us;
    uint64_t energy_mj;
    bool energy_modelled;
    bool host_fault; /* it was not begun for a reason that is the host's, not the task's */
    char text[256];  /* for a person */
};

enum { WEIR_AGENT_TICKET_SIZE = 65 };

struct weir_agent_energy {
    struct weir_wall at;
    uint64_t node_mj;
    bool modelled;
    size_t n_gpus;
    uint64_t gpu_mj[WEIR_AGENT_GPUS_MAX];
};

enum weir_agent_command_type {
    WEIR_AGENT_START,
    WEIR_AGENT_STOP,
    WEIR_AGENT_FORGET,
    WEIR_AGENT_POWER_OFF,
    WEIR_AGENT_UNKNOWN, /* a type of a newer broker, or one that could not be understood */
};

struct weir_agent_command {
    uint64_t seq;
    enum weir_agent_command_type type;
    struct weir_run_id run;
    uint32_t rank;          /* start: of a gang */
    char ticket[WEIR_AGENT_TICKET_SIZE]; /* start: to be shown with the log; "" none */
    int signal;             /* stop; 0: SIGTERM */
    struct weir_dur grace;  /* stop */
    enum weir_reason reason; /* stop */
    const void *start;      /* start: the parsed command (struct json_t), borrowed during the step */
    char text[128];         /* unknown: why */
};

enum weir_agent_event_type {
    WEIR_AGENT_EV_TICK,       /* the time that WEIR_AGENT_DO_WAKE asked for has come */
    WEIR_AGENT_EV_JOINED,
    WEIR_AGENT_EV_SYNCED,
    WEIR_AGENT_EV_REPORTED,
    WEIR_AGENT_EV_LOGGED,
    WEIR_AGENT_EV_RUN_FOUND,  /* at start: a record of an earlier agent (ended: end is set) */
    WEIR_AGENT_EV_RUN_STARTED,
    WEIR_AGENT_EV_RUN_ENDED,  /* also: could not be started */
    WEIR_AGENT_EV_LOG_GREW,
    WEIR_AGENT_EV_CHECKPOINTED,
    WEIR_AGENT_EV_NOTICE,
    WEIR_AGENT_EV_ENERGY,
    WEIR_AGENT_EV_QUIT,       /* SIGTERM: say so, go, tasks go on; a second one goes at once */
};

/* What became of a call, classed at the edge. */
enum weir_agent_answer {
    WEIR_AGENT_OK,
    WEIR_AGENT_AWAY,      /* no answer, or one that says to try again later */
    WEIR_AGENT_REJOIN,    /* the session is not known any more */
    WEIR_AGENT_REFUSED,   /* will not be accepted however often it is repeated */
    WEIR_AGENT_VERSION,   /* another protocol */
};

struct weir_agent_event {
    enum weir_agent_event_type type;
    struct weir_mono now;
    struct weir_wall wall;
    struct weir_run_id run;
    enum weir_agent_answer answer; /* JOINED, SYNCED, REPORTED, LOGGED */
    uint64_t generation;           /* the state's when the call was sent */
    const char *text;              /* of an answer that is not OK, for a person; may be NULL */
    /* JOINED */
    uint64_t node;
    const char *session;
    struct weir_dur report_every;
    /* JOINED, SYNCED */
    struct weir_wall lease_expires; /* 0: no change */
    /* SYNCED */
    const struct weir_agent_command *command;
    size_t n_commands;
    uint32_t rank;      /* RUN_FOUND */
    const char *ticket; /* RUN_FOUND; NULL: none */
    /* RUN_FOUND, RUN_ENDED */
    bool ended;
    const struct weir_agent_end *end;
    /* RUN_FOUND, RUN_STARTED, CHECKPOINTED */
    struct weir_wall at;
    int64_t pid;
    /* LOG_GREW, LOGGED (size stored at the broker), RUN_FOUND */
    uint64_t size;
    bool has_size; /* LOGGED */
    struct weir_wall deadline; /* NOTICE */
    const struct weir_agent_energy *energy;
};

enum weir_agent_effect_type {
    WEIR_AGENT_DO_JOIN,      /* body by weir_agent_write_join (wire.h) */
    WEIR_AGENT_DO_SYNC,      /* with ack and wait_ms */
    WEIR_AGENT_DO_CANCEL_SYNC,
    WEIR_AGENT_DO_REPORT,    /* body by weir_agent_write_report (wire.h) */
    WEIR_AGENT_DO_LOG,       /* run, rank, ticket, offset */
    WEIR_AGENT_DO_START,     /* command */
    WEIR_AGENT_DO_STOP,      /* run, signal, grace, reason */
    WEIR_AGENT_DO_DELETE,    /* the run's record and log */
    WEIR_AGENT_DO_WAKE,      /* a tick at mono `at`; replaces an earlier one */
    WEIR_AGENT_DO_EXIT,      /* the loop ends; power_off tells which way */
    WEIR_AGENT_DO_SAY,       /* text for the log */
};

struct weir_agent_effect {
    enum weir_agent_effect_type type;
    struct weir_run_id run;
    uint32_t rank;
    char ticket[WEIR_AGENT_TICKET_SIZE];
    const struct weir_agent_command *command;
    uint64_t ack;
    uint64_t offset;
    int wait_ms;
    int signal;
    struct weir_dur grace;
    enum weir_reason reason;
    struct weir_mono at;
    bool power_off;
    int code; /* EXIT: 0 or -WEIR_E* */
    char text[200];
};

struct weir_agent_effects {
    const struct weir_agent_effect *p; /* borrowed until the next step */
    size_t n;
};

enum weir_agent_phase {
    WEIR_AGENT_APART,    /* no session; a join is under way or waits for its time */
    WEIR_AGENT_TOGETHER, /* in session */
    WEIR_AGENT_DONE,     /* EXIT was given */
};

enum {
    WEIR_AGENT_OWES_STARTED = 1 << 0,
    WEIR_AGENT_OWES_ENDED = 1 << 1,
    WEIR_AGENT_OWES_CHECKPOINT = 1 << 2,
};

struct weir_agent_run {
    struct weir_run_id id;
    uint32_t rank; /* of a gang: each rank has a log of its own at the broker */
    char ticket[WEIR_AGENT_TICKET_SIZE]; /* the broker takes the log for it, whatever has become of the task; "" none */
    bool ended;
    bool forgotten; /* the broker has the end; waits for its log only */
    bool log_refused;
    bool log_in_flight;
    bool log_queued;
    bool dirty_queued;
    uint8_t owes;     /* WEIR_AGENT_OWES_* */
    uint8_t in_flight; /* the same, in the report under way */
    int64_t pid;
    struct weir_wall started;
    struct weir_wall checkpointed;
    struct weir_mono end_seen;
    struct weir_agent_end *end; /* owned; where ended */
    uint64_t log_size;
    uint64_t log_stored; /* at the broker, as far as known */
};

struct weir_agent_refusal {
    uint64_t seq;
    char text[128];
};

struct weir_agent_state {
    enum weir_agent_phase phase;
    uint64_t generation; /* raised by each join; answers to calls of an earlier session are told by it */
    uint64_t node;
    char session[128];
    uint64_t ack;
    struct weir_wall lease_expires; /* 0: none */
    struct weir_dur report_every;
    bool join_in_flight;
    bool sync_in_flight;
    bool report_in_flight;
    unsigned logs_in_flight;
    unsigned failures; /* in a row */
    uint64_t refusal_said; /* hash of the last refusal's text; 0: none since it was reached */
    unsigned rejoins;  /* short sessions in a row */
    struct weir_mono retry_at;   /* nothing is sent before; 0: free */
    struct weir_mono joined_at;
    struct weir_mono wake_at; /* asked for; 0: none */
    struct weir_prng random;
    /* the runs */
    struct weir_agent_run **run;
    size_t n_runs;
    size_t size_runs;
    struct weir_map by_id;
    WEIR_VEC(struct weir_run_id) dirty;  /* owe a report */
    WEIR_VEC(struct weir_run_id) flying; /* are in the report under way */
    size_t report_max; /* runs in one report; halved when one is refused, to find the one at fault */
    WEIR_VEC(struct weir_run_id) logs;  /* have log to send */
    WEIR_VEC(struct weir_run_id) held;  /* ended, report waits for the log */
    /* reports that are not about a run */
    struct weir_agent_refusal refusal[WEIR_AGENT_REFUSALS_MAX];
    size_t n_refusals;
    size_t refusals_in_flight;
    struct weir_wall notice; /* 0: none */
    bool owes_notice;
    bool notice_in_flight;
    struct weir_agent_energy energy;
    bool owes_energy;
    bool energy_in_flight;
    /* going */
    bool leaving;           /* asked to end: nothing new is begun, and the broker is told */
    bool leaving_in_flight; /* the report under way says so */
    struct weir_mono leaving_until; /* waits for the answer no longer than until then */
    bool power_off;
    bool power_off_lease; /* by the lease's expiry */
    struct weir_mono power_off_at; /* waits no longer than until then */
    /* effects of this step */
    WEIR_VEC(struct weir_agent_effect) effect;
};

/* seed: for the jitter of retries. lease_expires: known from the start, 0: none. */
void weir_agent_state_init(struct weir_agent_state *s, uint64_t seed, struct weir_wall lease_expires);
void weir_agent_state_release(struct weir_agent_state *s);

struct weir_agent_effects weir_agent_step(struct weir_agent_state *s, const struct weir_agent_event *e);

/* NULL where there is none. Borrowed until the next step. */
struct weir_agent_run *weir_agent_find(const struct weir_agent_state *s, struct weir_run_id id);
