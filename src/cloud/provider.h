/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The provider contract: what weir needs from a cloud that rents machines. One const instance of
 * struct weir_provider_ops per provider, listed in cloud/registry.c; one conformance suite
 * (tests/conformance) runs against every one of them. A provider keeps no policy: which offer to
 * take, when to end a machine and what a failure means for a task is decided elsewhere.
 *
 * Methods start work and return at once; the result comes to the given callback, exactly once, from
 * the event loop that the provider was made with, never from inside the call. A method that cannot
 * even start returns a negative code and then the callback does not come.
 *
 * "Unknown" results (time-out after sending) have a class of their own: the caller must describe by
 * token before it tries anything else.
 */

#include "base/clock.h"
#include "base/currency.h"
#include "base/err.h"
#include "core/model.h"
#include "core/provider_quota.h"

struct json_t;
struct uv_loop_s;
struct weir_http;

enum { WEIR_PROVIDER_ABI = 1, WEIR_INSTANCE_ID_SIZE = 128, WEIR_TOKEN_SIZE = 64, WEIR_CHECK_MS_MAX = 6000 };

enum weir_provider_class {
    WEIR_PROVIDER_OK,
    WEIR_PROVIDER_NO_CAPACITY, /* none here now: try the next offer, remember it for a while */
    WEIR_PROVIDER_QUOTA,       /* the account's limit: a person must act */
    WEIR_PROVIDER_THROTTLED,   /* nothing was done, back off: retry_after says how long where the provider told */
    WEIR_PROVIDER_REFUSED,     /* wrong request or credentials: do not retry */
    WEIR_PROVIDER_UNKNOWN,     /* may or may not have happened: describe by token */
    WEIR_PROVIDER_CLASS_MAX,
};

enum weir_instance_state {
    WEIR_INSTANCE_PENDING, /* exists, boots, costs */
    WEIR_INSTANCE_RUNNING,
    WEIR_INSTANCE_STOPPING, /* will be gone; may still cost */
    WEIR_INSTANCE_GONE,     /* proven: does not exist or is terminated, costs nothing */
    WEIR_INSTANCE_STATE_MAX,
};

struct weir_instance {
    char id[WEIR_INSTANCE_ID_SIZE];
    char token[WEIR_TOKEN_SIZE]; /* of the launch that made it; "" where it carries none */
    enum weir_instance_state state;
    struct weir_wall launched;   /* billing starts; 0: not known */
    struct weir_wall ended;      /* billing ended; 0: has not, or not known */
    bool reclaimed;              /* ended, or about to, by the provider's own will */
    struct weir_wall reclaim_at; /* 0: no notice */
};

/* A machine's end of a WireGuard tunnel to the site. Text as in WireGuard's own configuration. */
struct weir_launch_link {
    const char *private_key;
    const char *preshared_key;
    const char *address;  /* the machine's own, such as 10.77.0.9/32 */
    const char *peer;     /* the gateway's public key */
    const char *endpoint; /* where the gateway is reached */
    const char *routes;   /* what lies behind it, "10.0.0.0/8, fd00::/8" */
    const char *dns;      /* whom to ask for names of the site, "10.20.0.53 10.20.0.54"; "": nobody */
    const char *domains;  /* which names those are, "~site.example.org"; "~.": all */
    uint32_t keepalive_s; /* 0: none */
    uint32_t mtu;         /* 0: as the path has it */
};

/* Everything needed to launch one machine. Borrowed for the call only. */
struct weir_launch {
    const char *token; /* idempotency token: the same token never makes two machines */
    const struct weir_offer *offer;
    struct weir_lease_id lease;
    const char *owner;        /* owner tag: this broker's installation id */
    const char *broker_url;   /* where the agent finds the broker */
    const char *join_token;   /* the agent's credential */
    const char *ca_pem;       /* broker's certificate authority; NULL: plain HTTP on loopback */
    struct weir_wall expires; /* the machine powers itself off then */
    struct weir_wall issued;  /* when the lease was made; 0: not known */
    const struct weir_launch_link *link; /* by which the machine reaches broker_url; NULL: without one */
    const char *reservation;  /* what is reserved that it is to be one of; NULL: none is named. Of a reserved offer that ends, it ends with that */
};

struct weir_provider_result {
    enum weir_provider_class class;
    char text[256];              /* for a person, where class is not OK, or of offers and quotas */
    struct weir_dur retry_after; /* 0: not told */
    /* launch and describe: one instance (n_instances 0: none with that token or id exists);
     * list: one page. Borrowed during the callback. */
    const struct weir_instance *instance;
    size_t n_instances;
    const char *next_page; /* list: pass it to get more; NULL at the end */
    /* offers; text says what is the matter with the provider's prices, though class is OK */
    const struct weir_offer *offer;
    size_t n_offers;
    bool is_old; /* they are of an earlier answer: the provider gave none now */
    char no_rate[WEIR_CURRENCY_SIZE]; /* others were left out: of this currency no rate is in force; "": none were */
    /* quota; text says what could not be told, though class is OK */
    const struct weir_provider_quota *quota;
    size_t n_quotas;
};

typedef void weir_provider_fn(void *ctx, const struct weir_provider_result *result);

enum weir_check_verdict {
    WEIR_CHECK_OK,
    WEIR_CHECK_UNKNOWN, /* cannot be looked at beforehand; the text says why */
    WEIR_CHECK_WARNING,
    WEIR_CHECK_FAILED,
    WEIR_CHECK_VERDICT_MAX,
};

/* One thing that was looked at, such as "credentials", for a person. */
struct weir_check {
    char name[32];
    enum weir_check_verdict verdict;
    char text[512];
    char remedy[256]; /* "" where there is nothing to do */
};

/* What was looked at, in the order of its looking; borrowed during the callback. */
typedef void weir_check_fn(void *ctx, const struct weir_check *check, size_t n);

struct weir_provider; /* each driver has its own */

/* What the program gives to every driver. Outlives the provider. */
struct weir_provider_env {
    struct uv_loop_s *loop;
    const struct weir_clock *clock;
    const char *owner;    /* installation id: machines with another owner are not ours */
    const char *data_dir; /* the driver may keep files in data_dir/<name>/ */
    const char *self_exe; /* path of the weir program */
    struct weir_gpu_table *gpus;
    /* The catalogue's offers of a provider name; borrowed until the next reload. */
    const struct weir_offer *(*catalogue)(void *ctx, const char *provider, size_t *ret_n);
    void *catalogue_ctx;
    /* What a unit of a currency is in the ledger's now, in billionths; 0: no rate of it is in force. NULL: none of any is known. */
    int64_t (*rate)(void *ctx, const char *currency);
    void *rate_ctx;
    const char *currency; /* the ledger's; NULL: "USD" */
    /* A variable of the environment; NULL where it is not set. NULL: there is none. */
    const char *(*getenv)(const char *name);
    /* SHA-256 in hex of the agent's program for "x86_64" or "aarch64" that the broker gives away; NULL where it has none. NULL: it gives
     * none away. */
    const char *(*agent_sum)(void *ctx, const char *arch);
    void *agent_ctx;
    struct weir_http *http; /* for tests; NULL: the driver makes its own */
};

enum weir_provider_caps {
    WEIR_PROVIDER_SPOT = 1 << 0,
    WEIR_PROVIDER_TOKEN_NATIVE = 1 << 1, /* the provider itself refuses a second use of a token */
    /*
     * What a spot machine costs moves with the market while it runs. Elsewhere the price of its launch (a bid, where there is one) stays
     * until its end, whatever the next one would cost. Their offers say since when a price holds.
     */
    WEIR_PROVIDER_SPOT_MOVES = 1 << 2,
    WEIR_PROVIDER_CONTAINERS = 1 << 3, /* what it rents may not make network interfaces: no machine of it has a link */
};

/*
 * init      reads its section of the configuration (a JSON object, may be NULL); unknown keys are an
 *           error with a suggestion. Errors: -WEIR_ECONFIG.
 * fini      cancels what is under way (callbacks do not come any more) and frees.
 * offers    what could be launched now, with current prices.
 * prices_anew  optional: the next offers asks the provider, however lately it was asked.
 * price_history  optional: what an offer of a market that moves (WEIR_PROVIDER_SPOT_MOVES) has cost since a time, as offers that differ in price_micro_per_hour
 *           and price_since, oldest first; the first is the price that was in force at that time.
 * quota     optional (NULL: the provider has no way to ask): how much the account may have of what its offers need, and what all its
 *           machines use of it now. What is used is asked at each call. A failure means that nothing is known, no more.
 * launch    idempotent by token: with a token that was used before, the instance of then is the
 *           result, whatever state it is in.
 * describe  by token, or by instance id where token is NULL. Both not NULL is a programmer error.
 * list      a page of all instances that carry the owner tag, gone ones optional; page NULL: first.
 * terminate by instance id; terminating what is gone is OK. OK means asked, not yet gone.
 * visible_within  how long after a launch its machine may be missing from describe and list.
 * check     optional: does the provider take our credentials, does it allow what we do there, are the settings right, do the clocks agree?
 *           Changes nothing there. Of a provider that does not answer it ends within WEIR_CHECK_MS_MAX of each call.
 * fault     optional (sandbox, fakes): makes the next failures, see cloud/sandbox/sandbox.h.
 */
struct weir_provider_ops {
    uint32_t abi; /* WEIR_PROVIDER_ABI */
    const char *name;
    uint32_t caps;
    struct weir_dur visible_within;
    const char *quota_remedy; /* where a person asks for more; NULL: there is no quota */
    int (*init)(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf,
                struct weir_err *err);
    void (*fini)(struct weir_provider *p);
    int (*offers)(struct weir_provider *p, weir_provider_fn *done, void *ctx);
    void (*prices_anew)(struct weir_provider *p);
    int (*price_history)(struct weir_provider *p, const struct weir_offer *offer, struct weir_wall from, weir_provider_fn *done, void *ctx);
    int (*quota)(struct weir_provider *p, weir_provider_fn *done, void *ctx);
    int (*launch)(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx);
    int (*describe)(struct weir_provider *p, const char *token, const char *instance_id, weir_provider_fn *done,
                    void *ctx);
    int (*list)(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx);
    int (*terminate)(struct weir_provider *p, const char *instance_id, weir_provider_fn *done, void *ctx);
    int (*check)(struct weir_provider *p, weir_check_fn *done, void *ctx);
    int (*fault)(struct weir_provider *p, const char *what, struct weir_err *err);
};

/* NULL-terminated. */
extern const struct weir_provider_ops *const weir_providers[];
/* NULL where there is none of that name. */
const struct weir_provider_ops *weir_provider_find(const char *name);
/* For a person: that there is no driver of that name, with the nearest, or all that there are. 256 bytes hold it. */
void weir_provider_unknown(const char *name, char *ret, size_t size);
