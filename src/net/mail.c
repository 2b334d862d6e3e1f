/* SPDX-License-Identifier: Apache-2.0 */
/* How mail is set up in libcurl. TLS is asked for wherever the relay is another host: what alerts say is nobody else's. */
#include "net/mail.h"

#include <stdio.h>

#include "base/mem.h"
#include "net/client_priv.h"

enum { ADDRESS_BYTES_MAX = 512 };

static size_t on_read(char *buf, size_t size, size_t n, void *ctx)
{
    struct weir_transfer *t = ctx;
    n = n * size < t->upload.n ? n * size : t->upload.n;
    memcpy(buf, t->upload.p, n);
    t->upload.p += n;
    t->upload.n -= n;
    return n;
}

static size_t ignore(char *p, size_t size, size_t n, void *ctx)
{
    (void)p;
    (void)ctx;
    return size * n;
}

static int add_recipients(struct weir_transfer *t, const struct weir_mail *m)
{
    char address[ADDRESS_BYTES_MAX];
    for (size_t i = 0; i < m->n_to; i++) {
        (void)snprintf(address, sizeof address, "<%s>", m->to[i]);
        struct curl_slist *list = weir_curl.curl_slist_append(t->header, address);
        if (list == NULL) {
            return -WEIR_ENOMEM;
        }
        t->header = list;
    }
    return 0;
}

int weir_transfer_setup_mail(struct weir_transfer *t, const struct weir_mail *m, struct weir_authorities *authorities)
{
    CURL *easy = t->easy;
    char from[ADDRESS_BYTES_MAX];
    if (m->timeout_ms == 0 || m->n_to == 0) {
        return -WEIR_EINVAL;
    }
    int r = add_recipients(t, m);
    r = r < 0 ? r : weir_transfer_trust(easy, m->ca_pem, authorities, NULL);
    if (r < 0) {
        return r;
    }
    bool near = weir_url_is_loopback(m->url);
    t->upload = m->message;
    t->has_headers = true; /* there are none */
    (void)snprintf(from, sizeof from, "<%s>", m->from);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)m->timeout_ms);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)WEIR_HTTP_CONNECT_TIMEOUT_MS);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_READDATA, t);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, t->header);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_USE_SSL, (long)(near ? CURLUSESSL_NONE : m->allow_plain ? CURLUSESSL_TRY : CURLUSESSL_ALL));
    if (near) {
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
    if (m->user != NULL && m->password != NULL) {
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_USERNAME, m->user);
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_PASSWORD, m->password);
    }
    return weir_curl.curl_easy_setopt(easy, CURLOPT_URL, m->url) == CURLE_OK ? 0 : -WEIR_ENOMEM;
}
