/* SPDX-License-Identifier: Apache-2.0 */
/* The program that rented machines fetch and run as their agent. */
#include "api/api_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/digest.h"

/* A whole program is megabytes: it goes out in pieces as the machine takes them. */
struct program_stream {
    int fd;
};

static long program_pull(void *ctx, char *buf, size_t size)
{
    const struct program_stream *p = ctx;
    ssize_t n;
    do {
        n = read(p->fd, buf, size);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? (long)n : -1;
}

static void program_done(void *ctx)
{
    struct program_stream *p = ctx;
    weir_closep(&p->fd);
    free(p);
}

static int open_program(struct api_request *rq, const char *arch)
{
    struct weir_service *s = rq->api->conf.service;
    int fd = s->ops->open_program == NULL ? weir_fail(&rq->err, -WEIR_ENOTFOUND, "this broker gives no agent's program away")
                                          : s->ops->open_program(s, arch, &rq->err);
    if (fd < 0) {
        api_fail(rq->http, fd, &rq->err);
    }
    return fd;
}

void api_handle_program(struct api_request *rq)
{
    int fd = open_program(rq, api_text(rq, "arch"));
    if (fd >= 0) {
        struct program_stream *p = weir_alloc(sizeof *p);
        p->fd = fd;
        (void)weir_request_stream(rq->http, 200, "application/octet-stream", program_pull, program_done, p);
    }
}

void api_handle_program_sum(struct api_request *rq)
{
    const char *arch = api_text(rq, "arch");
    char sum[WEIR_SHA256_HEX_SIZE];
    uint64_t bytes = 0;
    int WEIR_CLEANUP(weir_closep) fd = open_program(rq, arch);
    if (fd < 0) {
        return;
    }
    int r = weir_sha256_fd(fd, "the agent's program", sum, &bytes, &rq->err);
    if (r < 0) {
        api_fail(rq->http, r, &rq->err);
        return;
    }
    struct weir_str out = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "arch", arch);
    weir_json_kv_u64(&j, "bytes", bytes);
    weir_json_kv_cstr(&j, "sha256", sum);
    weir_json_end(&j);
    api_reply(rq->http, 200, &out);
}
