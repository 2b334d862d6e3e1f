/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Lambda Cloud (API v1): virtual machines by the minute, on demand only. There are neither tags that can be relied on, nor
 * idempotency keys, nor pages: the frame of cloud/rest.h finds machines by their name. A machine that switches itself off is
 * billed on: it is ended by its own call where it was given a key for that, else by the broker, which sees it as unhealthy.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_lambda_provider;
