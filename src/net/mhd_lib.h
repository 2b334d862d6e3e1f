/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libmicrohttpd. See library.h. */

#include <microhttpd.h>

#include "net/library.h"

#define WEIR_MHD_FUNCTIONS(X) \
    X(MHD_add_response_header) \
    X(MHD_create_response_from_buffer) \
    X(MHD_create_response_from_callback) \
    X(MHD_destroy_response) \
    X(MHD_get_connection_info) \
    X(MHD_get_connection_values) \
    X(MHD_lookup_connection_value) \
    X(MHD_queue_response) \
    X(MHD_quiesce_daemon) \
    X(MHD_resume_connection) \
    X(MHD_start_daemon) \
    X(MHD_stop_daemon) \
    X(MHD_suspend_connection)

struct weir_mhd {
    WEIR_MHD_FUNCTIONS(WEIR_LIBRARY_MEMBER)
};

/* Valid once weir_mhd_init has returned 0. */
extern struct weir_mhd weir_mhd;

/* Loads the library once per process, from any thread. Errors: those of weir_library_load. */
int weir_mhd_init(struct weir_err *err);
