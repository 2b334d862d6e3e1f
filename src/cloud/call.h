/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Calls to a provider's HTTP API: what every driver of a real cloud stands on. A call is tried a bounded number of times
 * within a deadline, spaced by jittered back-off or by what the provider told (Retry-After), paced by a limit per provider, with
 * credentials that are fetched anew once where the provider refuses them. What came of it is classed as the contract in
 * provider.h wants it, and "was not sent" is kept apart from "may have happened".
 *
 * Secrets: what was given to weir_cloud_hide, and every bearer token, is blotted out of each text that a call ends with.
 */

#include "cloud/provider.h"
#include "net/client.h"

enum { WEIR_CLOUD_CODE_SIZE = 64, WEIR_CLOUD_HEADERS_MAX = 16, WEIR_CLOUD_CALLS_MAX = 512 };

struct weir_cloud; /* one per provider */
struct weir_credential;

/* Headers that a signer adds; strings are copied. */
struct weir_cloud_headers {
    struct weir_http_header header[WEIR_CLOUD_HEADERS_MAX];
    size_t n;
    struct weir_arena *arena;
    const char *scope; /* of the request; "" */
};
/* Ends the program where there are more than WEIR_CLOUD_HEADERS_MAX: a mistake of the driver. */
void weir_cloud_headers_add(struct weir_cloud_headers *h, const char *name, const char *value);

/* What an answer means. */
struct weir_cloud_verdict {
    enum weir_provider_class class;
    bool again;  /* the same request may do better a moment later */
    bool stale;  /* the credentials were refused: fetch fresh ones, then once more */
    bool skewed; /* the provider's clock and ours differ: take its time, then once more */
    char code[WEIR_CLOUD_CODE_SIZE]; /* the provider's own word for it; "" */
    char text[256];                  /* for a person; "" where class is OK */
    struct weir_dur retry_after;     /* 0: not told */
};

/* Comes with what the HTTP status alone says and corrects it by the body. Also asked for answers of status 2xx. */
typedef void weir_cloud_classify_fn(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v);
/*
 * Authorises one try: adds headers, or sets call->bearer (borrowed until the next try). call has its method, URL, headers and body.
 * now is the provider's time as far as it is known. Errors: any; the call ends as REFUSED.
 */
typedef int weir_cloud_sign_fn(void *ctx, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h,
                               const char **ret_bearer, struct weir_err *err);

struct weir_cloud_conf {
    const char *name; /* of the provider, for messages */
    struct uv_loop_s *loop;
    const struct weir_clock *clock;
    struct weir_http *http; /* borrowed; NULL: an own one */
    uint64_t seed;          /* of the jitter */
    unsigned per_second;    /* calls on average; 0: no limit */
    unsigned burst;         /* at once; 0: as per_second */
    unsigned backoff_ms;    /* before the second try, doubling; 0: 250 */
    unsigned quiet_ms_max;  /* that one answer (Retry-After) can ask of all calls; 0: 120000 */
    const char *ca_pem;     /* of a private endpoint; NULL: the system's */
    /* What stands before a URL that begins with '/', asked for each try, once credentials are there; borrowed. NULL: no such URLs. */
    const char *(*base)(void *ctx);
    const char *bearer;     /* a key that does not change; NULL: sign, or none */
    weir_cloud_sign_fn *sign;             /* NULL: none */
    weir_cloud_classify_fn *classify;     /* NULL: by the status alone */
    struct weir_credential *credential;   /* is made ready before sign; NULL: always is. Owned by the caller, freed after the cloud. */
    void *ctx;                            /* of sign, classify and base */
};

enum weir_cloud_kind {
    WEIR_CLOUD_READ,   /* changes nothing */
    WEIR_CLOUD_REPEAT, /* a second arrival does no harm: it carries a token, or ends what it names */
    WEIR_CLOUD_ONCE,   /* never sent again once it may have arrived */
};

/* Everything is copied. */
struct weir_cloud_request {
    const char *what; /* "RunInstances": for messages */
    enum weir_cloud_kind kind;
    const char *method;
    const char *url;
    const struct weir_http_header *header;
    size_t n_headers;
    struct weir_sv body;
    bool open;              /* neither credentials nor signature */
    const char *scope;      /* for the signer: what the signature is good for; NULL: "" */
    unsigned timeout_ms;    /* of one try; 0: 20 s */
    unsigned deadline_ms;   /* of all together, waiting included; 0: 60 s */
    unsigned tries_max;     /* 0: 4 */
    size_t reply_bytes_max; /* 0: 1 MiB */
};

/* What came of a call. */
struct weir_cloud_answer {
    enum weir_provider_class class;
    bool sent;  /* some try may have arrived */
    int status; /* of the last try; 0: no answer */
    unsigned tries;
    struct weir_sv body;       /* of the last answer; borrowed during the callback */
    const char *content_type;  /* likewise; never NULL */
    const char *subject_token; /* likewise; as in struct weir_http_reply */
    char code[WEIR_CLOUD_CODE_SIZE];
    char text[256]; /* "aws: RunInstances: ..."; "" where OK */
    struct weir_dur retry_after;
    bool stale;            /* the last answer refused the credentials */
    bool skewed;           /* the last answer put the refusal down to the time of the request, or may have */
    struct weir_wall date; /* the provider's clock at the last answer; 0: not told */
};

typedef void weir_cloud_fn(void *ctx, const struct weir_cloud_answer *a);

struct weir_cloud *weir_cloud_new(const struct weir_cloud_conf *conf);
/* Ends what is under way: drop is called in place of the callbacks. NULL is a no-op. The loop must run once more afterwards. */
void weir_cloud_free(struct weir_cloud *c);

/*
 * Starts a call. done comes exactly once, from the loop, never from inside; drop (may be NULL) in its place where the cloud is freed
 * before, to free ctx. Errors: -WEIR_ELIMIT (WEIR_CLOUD_CALLS_MAX are under way); then neither comes.
 */
int weir_cloud_send(struct weir_cloud *c, const struct weir_cloud_request *r, weir_cloud_fn *done, void (*drop)(void *ctx), void *ctx);
/* As a call that ends so without anything being sent: for what is refused beforehand, or (OK) known already. */
int weir_cloud_refuse(struct weir_cloud *c, const char *what, enum weir_provider_class class, const char *text, weir_cloud_fn *done,
                      void (*drop)(void *ctx), void *ctx);

/* A text that must never be shown; copied. Of less than 8 bytes: ignored, it would blot out words. */
void weir_cloud_hide(struct weir_cloud *c, const char *secret);
/* Blots out what was hidden, in place. */
void weir_cloud_redact(const struct weir_cloud *c, char *text);
/* The provider's time: ours, corrected by what it refused for. */
struct weir_wall weir_cloud_now(const struct weir_cloud *c);
/* The verdict by status and transport alone: what classify is given. */
void weir_cloud_verdict_of(const struct weir_http_reply *reply, struct weir_cloud_verdict *v);
/* An answer as the contract has it, with nothing found. */
struct weir_provider_result weir_cloud_result(const struct weir_cloud_answer *a);
