/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Azure virtual machines through the Resource Manager. A launch is a PUT on a name that follows from its token, so that a second one
 * finds the machine of the first. A machine that could not be allocated stays as a failed resource: the driver removes it. Prices come
 * from the public Retail Prices API. docs/guide/providers/azure.md is for those who set it up.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_azure_provider;
