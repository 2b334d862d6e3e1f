/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which way this host sends what is for an address, as its kernel says. */

#include "config.h"

enum { LINK_ROUTE_NAME_SIZE = 16 };

/* The interface's name; "" where no way leads there. Errors: -WEIR_EIO (the kernel does not say). */
int link_route_of(const struct weir_net *address, char ret[static LINK_ROUTE_NAME_SIZE], struct weir_err *err);
