/* SPDX-License-Identifier: Apache-2.0 */
/* Written by make_jwt_vectors.py. */

#define VECTOR_NOW_S INT64_C(1795377600)
#define VECTOR_ISSUER "https://login.example.org"
#define VECTOR_AUDIENCE "weir"

/* With ' for ". */
static const char vector_keys[] =
    "{'keys':[{'kty':'RSA','n':'yLlcPFuYf2EKPa1KBWKqBiGTUHNyESFPJNgnPCzknzzjk1J4yGlWc20uKwoA9V2b9ftSk8mm6OUO_UBidhT"
     "iGTxk9VRDoErmntACaS2rM2TzlFdmu87lbfBkSWEUiq3HwrQwyPvTsJkam0G78O5k6JspVjRFYSLN7irT7sFa3vtszk8dxWxSed4gpNRVnyV5L"
     "C60t2G5gGkIKwOdOh5M3KwD_A4AObU-7EkEYQLDRDL6j6sRqYxo4CnZFt9tPJYL1mI-jLL0b2NnvMCQOq_7-YYhLw_imoaol8OXCneHDSRmhSC"
     "vpFT9mjYYkaIDWypb-f6oxMAxwF2q8OJYqxGFzQ','e':'AQAB','kid':'r1','use':'sig','alg':'RS256'},{'kty':'EC','crv':'P"
     "-256','x':'nvPTOh5l_yZCWRNGdJynWMcBiS7_VrlnvDjMpRZI73E','y':'lTokjseTUiVu60MlBVlG6W4CTUpKlnMLjm9aqypRL4k','kid"
     "':'e1'},{'x':'5s1O-Nk5DKe98O89C315n6UvtyRwjGmPiM8OYT8PnVo','kty':'OKP','crv':'Ed25519','kid':'d1'},{'kty':'RSA"
     "','n':'xdiQMyKjeSxK2KZrZB8e4-8G_2D-wV0_SqXhgokvIB4KY6jpOwiGTo1IWoiJm5oX8Kdm76vNAD8AZ27bXOVQC1H8KQyfoPkxaC0ldeq"
     "6y6d_yFjy_80xx38PzjW7teIcR1pWBBxTcLK3bn80MybT6xK703Ismi8D3uPIZeXwQtk','e':'AQAB','kid':'small'},{'kty':'EC','c"
     "rv':'P-384','x':'cq_1U9Q1WpwIHjygN7FU2yPRTnOpCX2eIj1EzZcqmp-cG_8l44M_PwZ9oan3A1pG','y':'qOEF53JvPivbQxmiKXX4XV"
     "KvdWY7yzMhdOaGdulMUzfv6ghJZWMS8KgqykahvloB','kid':'e384'},{'kty':'RSA','n':'3lqwCwqGMfnxdjcm8QgnNJgZvE55Z4n8EP"
     "uYX60rg9bYAyzZcnqN28_qESJxryalLT7BJOykCOWOQZKCyWBSNZhc34klnHYuxKaV7rLWKtThPG6W1r4bSPGvNSuCQ1HmouD4r4pEUVzq0mW7"
     "s0fDpNrXeQUIgszgUAU3WTENmvHIvzK9ONM2g9hb0tjabkDL_jjnGn2-ycVzZKju3gyKALvKF1rZYo9o8E-84KK4FvrZgso-S2GREckfmoGPT0"
     "Jd8OYkNwAQxwRsj0Zt58osqMm9_D1g0eIAgERRqnFJ7xBQcZEmHeL012ADSPLYzvtja1bHWFunjxMeKo0AMR28uQ','e':'AQAB','kid':'en"
     "c','use':'enc'},{'kty':'oct','k':'c2VjcmV0','kid':'h1'},{'kty':7},'text']}";

static const struct {
    const char *name;
    const char *token;
    const char *refusal; /* "": see the test */
} vectors[] = {
    {"an RSA key's",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.tqylJLRIN475TSMNd8A9PlAqcaGFTnnRmZ-H6qR3gedkUa7OWRvSr9-ceb"
     "7lPjUYRY_AF3zCO_TR0ZHWwvrh4Czh6GgHgpOUJ7r4cLAeXmlnVJVFvNlEK3wYOXMEvXv3OeKS-w6TbHDekFnauj5qBxJO2mk56ist8vNrthm8"
     "si0UMdtIGvDmiv77cuUo_XRx71l8wkzS44UpjKziKGFbH_V3ssLcvCaQlAB3mAfpStylUfZsAVAdAefyjfqA-pX73wgRVe7clRsliVe5QN3mcO"
     "vRcvf_7SQqbibM3AftEbiXKhN9g3iwx3T6lfXnEBKuoMyVLgDVIdoJmErLAbELnA",
     ""},
    {"an elliptic curve key's",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.5_P69ivDcEEx2S7UQNqgX_SqFYlnq2W7G-vEczOse9wF4PoHVhPTaCS72H"
     "pmnLsa35jRt6AS6fJ-GCVwer5TlA",
     ""},
    {"an Ed25519 key's",
     "eyJhbGciOiJFZERTQSIsImtpZCI6ImQxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.cm2IJ6ls3kzPvpjWGVeN9v0-860rpnyTmZBmTuuVw5kiXclDZ47TPYdRe5"
     "epTyH81uc2aR7d_9FSgT5_JB5EDQ",
     ""},
    {"the one key of its kind need not be named",
     "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2VpciIsImV4cCI6M"
     "Tc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3M"
     "iOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.z8iSmaILA0tPhIUR8if-o2USyqvgSZVMOq1VwP3xbCpPc7KYQE41Sq5ve6QZgVhzx1w6OXfNw"
     "j-aqvwe4xO9Bg",
     ""},
    {"audience in a list",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjpbIm"
     "90aGVyIiwid2VpciJdLCJleHAiOjE3OTUzNzc5MDAsImlhdCI6MTc5NTM3NzU5MCwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbIm1sIiwidmlzaW9u"
     "LXRlYW0iXSwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIndlaXItYWRtaW4iXX19.ZlCJDC9Csbd36cxP0jbgEXmOxW6KsnAs36dFihzcNkHGd"
     "lklc6EMbivrL2UDL5En_yxRELfDk8Da8azFTdAvcpm-sMITsr3SjXe9-SOCcNkZKYFRxyroBNj3wQvCMm8H6GZetmXKd7nC4-juvhZqag7n9t1"
     "6KNUuZgEj_NUODlehCAblLhrtIZRoeoH_PtU5Adk-HPIlrZF9aJBr3NB3UaDCV9RYaNHw2cp8qe00RBq3tJXtXQbyYfNSKhBJ2HAHHQZcGfOx7"
     "ANhkcqlC2uq1HqPisaBkRHgDayUxN-Sh-EMCtGUgxPo40fVeS5MYaJoEIzwJ7UOImrEVaipDUewDg",
     ""},
    {"times with fractions",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMC41LCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0s"
     "InJlYWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19LCJuYmYiOjE3OTUzNzc1OTkuNX0.Dg8f4_-klpTWZN8ONl0_LmqduLV-de"
     "IgqeUeBPMD1tiUZCqQhfadrwwenL5myA0KCopGtJPIzEIsdXlvj3IVW_JT0DXJEQuG6iQJLoKj3vhmBkLsQxexAlVlkP4LVPmgWDsVPIoFLXWt"
     "Uf0VRuOnyMzQNvHR5rDZz5kUzthep_GejWIDSe81nmRXfVH3HkeAgtl-xyGVcUSZHBarJ1YmLWLRoqTuwMse7tzKO5LrRMfzV9lAWNXYyzcAZ0"
     "XPEDUiinaj4mGyHebZdICphzUE2QOuIxc1vMFKPHU61dMWxGNOupyhAjUF8zSNc2WkQb8f5fF26_q0Ijcclm5SpJtnzg",
     ""},
    {"expired within the skew",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzU0MSwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.snu3R67Es1Hdmsc44VzXzpwRlIa9QcGzpindtXm7XILkZ8LFmkQIGuQsl1"
     "eJkG5pmna7zRsDN4D1TGjyUEI4mFqExz0lNhaopGRD4N2r_rCz0_NinQzwGQTberfGj24bEgzUR3C6u-lfkSskGcUCKHD8Ma9ZIH1wQ0upvDZZ"
     "5LYgzxuC_BRxhKcgaW21TMH2evixPi9idPi2d8xzuK3SAFhPHVuXse9mlMeOSxwzQ91pCqPbKXJx4Pdko3IfSdQa9rf75EDTx30E7kav3g9dQk"
     "HBnD8V-XquUJdQZ1DFxrzDRH-V6I0Dte_nltDaS_hFrcqg3WGD3ymp1l_Od7y-eQ",
     ""},
    {"begins within the skew",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NjU5LCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfSwibmJmIjoxNzk1Mzc3NjU5fQ.dNpG83DZEM-h1xVlBey8648FtuDoeN2lkxC"
     "ZkYMNxPCEQylhp5mMuu6l2RigbQzx9kdGEpqEBb4gGumKazhW3GL4b8RHwffoTTDuuyWgVz_eqXafVOpaenCbaj0xBApihhfjK6DHSTm0tJlqH"
     "DwdybJSJdUJjxhDB3GnVIZnqLtnJU89sjDQolPOPeHI8L2eW1QXyf3V1BrJWy6xAv7I_m3FIbTgRa5ahq_oFlsPP7r0_S5DyrA46nxBMha7xfy"
     "IcdQ9XP2VRnDI3LH85Vo7IPSewg8nJCBAPiyo2pYjI_d6G1q_WJLj7L1xjKkZQE48VrgUznWY9vBxaWDU6FqaQQ",
     ""},
    {"none",
     "eyJhbGciOiAibm9uZSJ9.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsICJleHAiOiAxNzk1Mzc3O"
     "TAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJdLCAicmVhbG1fYWNjZXN"
     "zIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.",
     "only RS256"},
    {"None",
     "eyJhbGciOiAiTm9uZSIsICJraWQiOiAicjEifQ.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsICJ"
     "leHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJdL"
     "CAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh"
     "4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "only RS256"},
    {"no alg",
     "eyJraWQiOiAicjEifQ.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsICJleHAiOiAxNzk1Mzc3OTA"
     "wLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJdLCAicmVhbG1fYWNjZXNzI"
     "jogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh"
     "4eHh4eHh4eHh4eA",
     "only RS256"},
    {"HS256 with the public key as the secret",
     "eyJhbGciOiAiSFMyNTYiLCAia2lkIjogInIxIn0.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsIC"
     "JleHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJd"
     "LCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.HX63dY6MiWNPaGVfpxuhbA7rx1KfZG8BEFNg-GGtagA",
     "only RS256"},
    {"RS384",
     "eyJhbGciOiJSUzM4NCIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.rv9Y2ie6WOQWd-NbJc37UVacQfMSocpsRr9vvhBn9VdtcZU_0ImbARCmed"
     "z7MrOkTGO9dc-Gnq7WPcdNcEILdK8jtApXDAKlVqWXY3AlICFVnh85rQbQ10Bjmm0biuIsVyJmWPsBlDKhkzY5h1nawWyg-QYNgF5eQn3BqB3z"
     "xjHYzWNbm1yXiuzuvQHfxyNHnH0XUpK9qmuHRbQ2L_iyjAlUMHO7T42FqRN12FXcCVtJSitnUWHv-KYzHJI52onc-UuDi1Ys-2_7jv9jLxRQpR"
     "a38-dDvl0Bu5u45sPfi3fIwgjoYTlseE_QqzJ52LVpENp4zqb401AVaBa-0VrY-w",
     "only RS256"},
    {"PS256",
     "eyJhbGciOiJQUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.SLZAL0Cr00Jqul1a5n2fi8yrbOoxDZiPCXNpDfw2mCiAsbpznwTP6ebaqI"
     "PaHCgyVZYsC5rL0hO4Yjwld0dp_HcGxtoI8gjfb4QGkUdU9dFEvEKdSLkXfJs72z2ItMd5dS_UOo5LZQaK1FdYr_5NhnnFBSWBLW4zaHqKjX1j"
     "wqm_xo_qcfY9Tz8T6G8PwZ5mX5iAmlf1CTkj_F83aokBorBq6RGBxPPPzFxy-gKng_67bBQo4Qxet-DOUxkqDJhIdWM74p-hJ69mwYPeCxfgZA"
     "PWG71kOQ05Ly4WZONdU0SJRK_IDqk4KEvmSL_kdf5_pPjxS0uCzkc6VqnCGvSTRg",
     "only RS256"},
    {"ES256 by an RSA key",
     "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogInIxIn0.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsIC"
     "JleHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJd"
     "LCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "not one for ES256"},
    {"RS256 by a curve's key",
     "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogImUxIn0.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsIC"
     "JleHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJd"
     "LCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "not one for RS256"},
    {"EdDSA by a curve's key",
     "eyJhbGciOiAiRWREU0EiLCAia2lkIjogImUxIn0.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsIC"
     "JleHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJd"
     "LCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "not one for EdDSA"},
    {"crit",
     "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiZXhwIl0sImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbG"
     "Uub3JnIiwiYXVkIjoid2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2"
     "aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.ioPNn4uw0b17yUStdPwO_b_6Bn9RKnBMzCeR77"
     "z6KVwhak3oF5xZc_PatyiW_O9bWVW1kXb-MGy4iLFsxED01P4DIWycKq1ehqwN2-42aIH_wKQ4Ws3Lpxba9TEN0u_3carsCWaFoKDdahxauM9C"
     "RnC8Ml-nFgETDG4P231S_-qNlz8esUObVjb7HWCXm76yc_P8umapfdz_Mq9Z-IU5576hVCRQXTwAUSodRTqRgCe38baB5UImu1n-btl9AX-DW6"
     "6S1-i16mjWGkkVY-7OFzuMaLANjb9ryoHz90TRAcZyYoIBxlaVeDFwAGTMxAc0_rhdCL32b3RM0cuYDqpnkQ",
     "crit"},
    {"unencoded payload",
     "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiYjY0Il0sImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbG"
     "Uub3JnIiwiYXVkIjoid2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2"
     "aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.Zk-if_TEHw_c2wW5rchuV4yUQCVlzbGkgrbJv_"
     "GfYDhbKkp1lPHxBkqpvuNBrSo1xHn0jes1kVnuRbTs3T8CRfG60osMHctAcDEwiZVBwpzRhvX2yD4mUj-33TN2JQy5ATbBqx-C150S8skAkBuT"
     "C_VH5-wOY3u_VE6RxzYiAaI_tCZzmscTAdolGRuBaSI6EyYpMV90WaAyvyU59hqlCoEL56jCmBdrn_LXgSNZFfPsfbeeIHYXwAsl4bl7EqOTWh"
     "fd08grxTGNT5JgopwXnGtvT0RtHh96HBLB-rLWSuh7Pm2YS8mwnWWmWGl-jQmwb8sw3Wzf18rU5ZZI_Ll1MQ",
     "crit"},
    {"a key of its own",
     "eyJhbGciOiJSUzI1NiIsImp3ayI6eyJlIjoiQVFBQiIsImtpZCI6InIxIiwia3R5IjoiUlNBIiwibiI6IjNscXdDd3FHTWZueGRqY204UWduTk"
     "pnWnZFNTVaNG44RVB1WVg2MHJnOWJZQXl6WmNucU4yOF9xRVNKeHJ5YWxMVDdCSk95a0NPV09RWktDeVdCU05aaGMzNGtsbkhZdXhLYVY3ckxX"
     "S3RUaFBHNlcxcjRiU1BHdk5TdUNRMUhtb3VENHI0cEVVVnpxMG1XN3MwZkRwTnJYZVFVSWdzemdVQVUzV1RFTm12SEl2eks5T05NMmc5aGIwdG"
     "phYmtETF9qam5HbjIteWNWelpLanUzZ3lLQUx2S0YxclpZbzlvOEUtODRLSzRGdnJaZ3NvLVMyR1JFY2tmbW9HUFQwSmQ4T1lrTndBUXh3UnNq"
     "MFp0NThvc3FNbTlfRDFnMGVJQWdFUlJxbkZKN3hCUWNaRW1IZUwwMTJBRFNQTFl6dnRqYTFiSFdGdW5qeE1lS28wQU1SMjh1USJ9LCJraWQiOi"
     "JyMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2VpciIsImV4cCI6MTc5NTM3NzkwMCw"
     "iaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiO"
     "lsid2Vpci1hZG1pbiJdfX0.LEaVR0DHFb7k5_xPly0TmBPOTK4FVtHt-lOHs9fIfWjWTkAOmJHMAF1mcATImfPzyG43XmGJlsEz3Wz9G1CrH2T"
     "Vo_XQ5DKfy_zwDkiVbLujzzOhYdB0Bg9ThltMOWcgDFRv4QRDagJMPpF2yWxi6VhEMShFjdf5AoULUUdaQ7UZXjDzS82OqQGgWn-uD4Stsqerq"
     "5L0QejEwQtTjNzU_0uv-36stXzLN3zcGWm0yd-XvegVIHvKeFUIXwmVO_80d2uvmTttFSaUXHoLNe7qQ8i0j7uDMntIiK_YpkCUToFDWed7Kys"
     "QFWHh5vIQZX2B7b9amvPUiIavE84jxGLlYQ",
     "signature is not"},
    {"a key that is not published",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6IngxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.pnAcviMRpObu8EtJQXdwhQnz63ytom0ehtuMb0OzcG0K8w4ek5VoYofhgy"
     "swH4YWBcIwTmeBF-AEp2EXmaqx_JAwl-BjZXDldhJVleEE8wwGmnCPv-3eWErdptLfNnlshukP2A7HIQie6L3XRgvmZxXvnOSC-TRFbay65z_R"
     "o6bLOu3WM5tMYzylock2eZS8VhUQYVuWZdMkg9zhF0SjpbhDUYdNXsqvcpNTL7Jn37jMRxgfvccw48b-IuaRJS-yYLvXYCi-VWsEG9TRJe4pDS"
     "zqF-mDxgv1pIRsgeb-GjT_-LPGBRFxGQZBComwBUep6T83WYYXt9LLzNkOJ6FMuQ",
     "does not publish the key 'x1'"},
    {"a key that is for encryption",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6ImVuYyIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid"
     "2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJ"
     "yZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.htWepTwUR9_ruEarn7QOIwgwpxnXGWM6u0YA349weyIGT2AAyah9VLtnO"
     "3tFD_V4LOaHE0fpjltK9G2hE7P-8tsYRwPgi1NzyoKRzduMco8PRGB_uMa7m3-Q1tNQu_v37PriD-cFbVvBZlNyd0uvxGs3VjfHY2MKM_lVQTM"
     "-EBv08wDiunquNQfto6I821AUFUBnFvE6KbfATbyoME5I1yooTwUt-vdm0jHSJ2JWWUXEh9aaqXUMclEaRsZ8tioSZl3I8jLsxNDlUsqxpBdZ_"
     "r7_mmmvFx4X6a9sgmLsU8XZCdI_eZSIGIa9JYJHeoj6UpUB_pzl02v9hEari-6OUw",
     "does not publish"},
    {"a key of 1024 bits",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InNtYWxsIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIj"
     "oid2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJd"
     "LCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.BWVYtbLtKLSK2hV7iRQ9TkPlQCj3UM_jhKaiv4Y68-onF7dd2rbHqa"
     "1DQkzxY1qtza-mp0h-pRiEAzf2EHNe6cDAeVRQj0fYnwWiwd_sKEYjWbRlz-oHrGPWbJOaWjOgG3HUTEVqQkfsQ-iTGTwy7pZn-0uzgLgSNLUM"
     "YOZeCQg",
     "does not publish"},
    {"a key on another curve",
     "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImUzODQifQ.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciI"
     "sICJleHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhb"
     "SJdLCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh"
     "4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "does not publish"},
    {"a secret as a key",
     "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogImgxIn0.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsIC"
     "JleHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJd"
     "LCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "does not publish"},
    {"kid is a number",
     "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogN30.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsICJleH"
     "AiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJdLCAi"
     "cmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "'kid'"},
    {"kid is long",
     "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogImtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2"
     "tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"
     "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2"
     "tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2trayJ9.eyJ"
     "pc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsICJleHAiOiAxNzk1Mzc3OTAwLCAiaWF0IjogMTc5NTM3N"
     "zU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJdLCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2V"
     "pci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "'kid'"},
    {"another claim",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJib2IiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.tqylJLRIN475TSMNd8A9PlAqcaGFTnnRmZ-H6qR3gedkUa7OWRvSr9-ceb"
     "7lPjUYRY_AF3zCO_TR0ZHWwvrh4Czh6GgHgpOUJ7r4cLAeXmlnVJVFvNlEK3wYOXMEvXv3OeKS-w6TbHDekFnauj5qBxJO2mk56ist8vNrthm8"
     "si0UMdtIGvDmiv77cuUo_XRx71l8wkzS44UpjKziKGFbH_V3ssLcvCaQlAB3mAfpStylUfZsAVAdAefyjfqA-pX73wgRVe7clRsliVe5QN3mcO"
     "vRcvf_7SQqbibM3AftEbiXKhN9g3iwx3T6lfXnEBKuoMyVLgDVIdoJmErLAbELnA",
     "signature is not"},
    {"another signature",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.tqylJLRIN475TSMNd8A9PlAqcaGFTnnRmZ-H6qR3gedkUa7OWRvSr9-ceb"
     "7lPjUYRY_AF3zCO_TR0ZHWwvrh4Czh6GgHgpOUJ7r4cLAeXmlnVJVFvNlEK3wYOXMEvXv3OeKS-w6TbHDekFnauj5qBxJO2mk56ist8vNrthm8"
     "si0VMdtIGvDmiv77cuUo_XRx71l8wkzS44UpjKziKGFbH_V3ssLcvCaQlAB3mAfpStylUfZsAVAdAefyjfqA-pX73wgRVe7clRsliVe5QN3mcO"
     "vRcvf_7SQqbibM3AftEbiXKhN9g3iwx3T6lfXnEBKuoMyVLgDVIdoJmErLAbELnA",
     "signature is not"},
    {"another curve signature",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.5_P69ivDcEEx2S7UQNqgX_SqFYlnq2W7G-vEczOse9wE4PoHVhPTaCS72H"
     "pmnLsa35jRt6AS6fJ-GCVwer5TlA",
     "signature is not"},
    {"a curve signature in DER",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD"
     "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMA",
     "length"},
    {"a curve signature of zeros",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
     "signature is not"},
    {"no signature",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.",
     "signature is missing"},
    {"a signature of 2 KiB",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
     "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg",
     "signature is missing"},
    {"a signature with padding",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.tqylJLRIN475TSMNd8A9PlAqcaGFTnnRmZ-H6qR3gedkUa7OWRvSr9-ceb"
     "7lPjUYRY_AF3zCO_TR0ZHWwvrh4Czh6GgHgpOUJ7r4cLAeXmlnVJVFvNlEK3wYOXMEvXv3OeKS-w6TbHDekFnauj5qBxJO2mk56ist8vNrthm8"
     "si0UMdtIGvDmiv77cuUo_XRx71l8wkzS44UpjKziKGFbH_V3ssLcvCaQlAB3mAfpStylUfZsAVAdAefyjfqA-pX73wgRVe7clRsliVe5QN3mcO"
     "vRcvf_7SQqbibM3AftEbiXKhN9g3iwx3T6lfXnEBKuoMyVLgDVIdoJmErLAbELnA==",
     "signature is missing"},
    {"two parts",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0",
     "not three parts"},
    {"four parts",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.tqylJLRIN475TSMNd8A9PlAqcaGFTnnRmZ-H6qR3gedkUa7OWRvSr9-ceb"
     "7lPjUYRY_AF3zCO_TR0ZHWwvrh4Czh6GgHgpOUJ7r4cLAeXmlnVJVFvNlEK3wYOXMEvXv3OeKS-w6TbHDekFnauj5qBxJO2mk56ist8vNrthm8"
     "si0UMdtIGvDmiv77cuUo_XRx71l8wkzS44UpjKziKGFbH_V3ssLcvCaQlAB3mAfpStylUfZsAVAdAefyjfqA-pX73wgRVe7clRsliVe5QN3mcO"
     "vRcvf_7SQqbibM3AftEbiXKhN9g3iwx3T6lfXnEBKuoMyVLgDVIdoJmErLAbELnA.x",
     "not three parts"},
    {"empty parts",
     "..",
     "header is not"},
    {"no base64",
     "a%.b.c",
     "header is not"},
    {"claims are a list",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.W10.tqylJLRIN475TSMNd8A9PlAqcaGFTnnRmZ-H6qR3gedkUa7OWRvSr9"
     "-ceb7lPjUYRY_AF3zCO_TR0ZHWwvrh4Czh6GgHgpOUJ7r4cLAeXmlnVJVFvNlEK3wYOXMEvXv3OeKS-w6TbHDekFnauj5qBxJO2mk56ist8vNr"
     "thm8si0UMdtIGvDmiv77cuUo_XRx71l8wkzS44UpjKziKGFbH_V3ssLcvCaQlAB3mAfpStylUfZsAVAdAefyjfqA-pX73wgRVe7clRsliVe5QN"
     "3mcOvRcvf_7SQqbibM3AftEbiXKhN9g3iwx3T6lfXnEBKuoMyVLgDVIdoJmErLAbELnA",
     "claims are not"},
    {"a claim twice",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJhIiwiaXNzIjoiYiJ9.tqylJLRIN475TSMNd8A9PlAqcaGFT"
     "nnRmZ-H6qR3gedkUa7OWRvSr9-ceb7lPjUYRY_AF3zCO_TR0ZHWwvrh4Czh6GgHgpOUJ7r4cLAeXmlnVJVFvNlEK3wYOXMEvXv3OeKS-w6TbHD"
     "ekFnauj5qBxJO2mk56ist8vNrthm8si0UMdtIGvDmiv77cuUo_XRx71l8wkzS44UpjKziKGFbH_V3ssLcvCaQlAB3mAfpStylUfZsAVAdAefyj"
     "fqA-pX73wgRVe7clRsliVe5QN3mcOvRcvf_7SQqbibM3AftEbiXKhN9g3iwx3T6lfXnEBKuoMyVLgDVIdoJmErLAbELnA",
     "claims are not"},
    {"another issuer",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZS5vcmciLCJhdWQiOiJ3ZW"
     "lyIiwiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJl"
     "YWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.E6CIEP0-EucGKLrVFMFVS_O9JPnMOyBWw-Zl_fe3oB4hiF8BModxLmdhyyq"
     "oM73Mraoi_MJ4NJhzAwWOz_8W6T-WMmTyTs2dpVqBXwC4fCViHJyCEX-XAeF898YDrjO1Mdh6p6cBd4idBG56UmRRq0wUxZP9V1LMg3-n_ygIT"
     "WLRrroVo5Vhle_pzkZuOWd2m1AwKEFIq2n0WCM-gMcOG12M1EfgCJmBCAeIcAO1bOezXf17DJ4yoqbqqQYt6ZKJ02AVu9_tCbgcgJs_dabu1VS"
     "wExGRBr_k44TXLvQL8MHH79QztMmJKIxhaCIteqhctKUR76AiSGVWSjIxXapIOg",
     "not of the issuer"},
    {"an issuer with a slash",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnLyIsImF1ZCI6In"
     "dlaXIiLCJleHAiOjE3OTUzNzc5MDAsImlhdCI6MTc5NTM3NzU5MCwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbIm1sIiwidmlzaW9uLXRlYW0iXSwi"
     "cmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIndlaXItYWRtaW4iXX19.sxsmOkNXCr1X96t1ZMV2xJzaRqAxCfIWasiaeDHeJgZEQmwIOK3huTBP2"
     "FIj8ePto_JWTDCvOZCQXVNFsi2rDuRUfjmStlQEvWxKgfqhl06i9udpgRMn1Wtap0pQgIrx8BmXeeMC4325Ykh5WkpfVvG_mLcQQdK38sHBLmq"
     "LReKFDafaMZe0vc6bUXSMcjE-PnnW93Kn5-DwKGby4zvO08JyBRIF1t34jj7W4NNqD5sURMWNYTdFwtb5X9WQJn2bfy-zJCP-DldV88YItRov4"
     "3xshpNFvrp5AdaaYyfq4OzemSFk9uE30LkFHYpE2genRoHaQ_e4tMcsJpi8IEGAjA",
     "not of the issuer"},
    {"no issuer",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJhdWQiOiJ3ZWlyIiwiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNz"
     "c1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJlYWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWlu"
     "Il19fQ.Qtocfigp4NLbdLr6_FSbjFfgyxUtGlUdsqc0t84Ev5aYP13dxrvXyleTXbq7sPbd5lmiG6GBTO--pSm_vglKvNKUak-o4zhSojs9gzh"
     "7my9YouSHjCSaeeHHqZoj-acd2lXq9yP4_zYZwaiM2Q5KUct2K7fBtosulmBBVVvy9-P48NhKsT-V-Y0HXmzsg2XgUb1rFRS0VkXxPaele-Wec"
     "hseLlTmuGT5NIbcQ0670I3QjtynURDhYZdD3gsqlVn5mCW-5HViTpkNbQEt0zQJJmf52Zr1aYyT1dsGjBnPVkS1w1noGBE3sC5_ct1awDUADjl"
     "u2dds6_4RGmKNECjAGQ",
     "not of the issuer"},
    {"another audience",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpcmRvIiwiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0s"
     "InJlYWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.a-dyH1xJ3nvBagVbWW8M-ytOCq-F0qPWiRa2ht1vF5DHfktxuUPJYwR"
     "wI88nAR1xVbiySA1u_DymMy6BlGxb_mDs1snbH8uGw_uzSKCHHtmajKhVxasitfSwF7jVSj_hIzfAPeHBvtidVEnZCMxn77cud0NFgVeqn4295"
     "1Kmu4JuMYs1A0Z4qSYwIgx3hQqQXLjTcCdKpFh_BjiW3XpLHmi3pD7BxdooUueGA7ziv5jcSwidlwqvcBR8xfvAnXo4mEq4yGVSiJir1tjgYpN"
     "x2WP4Al9GBv0561dHvA7otHDFJ40LukbJtE0GfTFfMB5-LY-yBHyTUNU4wYHTpD6Z2w",
     "audience"},
    {"no audience",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiZXhwIjoxNz"
     "k1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJlYWxtX2FjY2VzcyI6"
     "eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.RFeD9xASarqvopDLdWnXfkq1R3T_u3DiEekhR-v4-jwLmjo5wP4_J4BKKwqNcyE3s_PmTMxvsjO"
     "-LQSj9UNlU5iTzi699ff1bPzstkrupCkPoQydBdLOkWWp9e5f6QRPTjukXl8a-qpSK2wh7s-K3dDNzuGqHC-R86DJVcVVgGnTvIHNqYyptldkL"
     "UJzKH63Y7MSVhzf6zlsPs6feFyj-vCNDQOpP6ElQlqeiFTOERFIPqcY_3Rt3gvESb81v3239M3jdnqXGixhvy0fse_enOLoEXcmXEt4gU29gqP"
     "apX5MJALGVdv0drxdbnKfSFDD20V4SBewwG9IJgYIfSoRnQ",
     "audience"},
    {"an empty audience",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjpbXS"
     "wiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJlYWxt"
     "X2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.DQ00Fc_hrcozjX8rmai7tZakQgPROXD-1NVye6gltqOBoGv_vnBRKFlGiYidY9B"
     "UuhT1P17UN7Q4KcwEHvrfNBHBtMETgfryD8zadgjrWtPg-LCY6VUdVD8RzTjjKBsBaaQYqykFZdKZYytn43NBXoOCXZOiiatqSDC29KvQASXgq"
     "-Mhi4UgHEnhw6ekPlGLtKHDv0WlA9xt2IQwYcNn7kJGvDwvNwi5vDYty9qUwXbWHfcHLtDgTQooP4OLyYSZp-pWh3vrtRJS4VIGnBlUTj2Jtpo"
     "mEJqqOBv_45x-MDg0AiE7QVGwXdBB3RVo01OCCIikNpQ52DBI71T9vm6l4w",
     "audience"},
    {"expired",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzU0MCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.c0-ckwXI-mUhrY2N_CspveeGpb7gAdQwjw2GrDqXub0O1CiWJt_PU3c4iq"
     "2Cb3kx7AwF2GQ7V9yHAv_9gq_ngJF0_clhaRKHTbNTWCN61RbhgzY9oRK-BkG0saMZBdHkDN2xGIFxQDiLxyexjNdWmKtOyl3UzvWkG7u0VTbr"
     "7ON57Kb_28hKUP0ppRT6WJSnqUA5QFmy2t6T5-mpBQYZEfg6_Yhe3YFDmMEeADwxaj1hb054T_fEaeY3e6f7UyiJhm5nB44uPyJrCtnkhFlfXf"
     "INv7vq5ZpxfzTH8SlxZNisSvLoMShn8riAoJAuYnrPl3DOetEWM_cQFviqotTeQA",
     "expired"},
    {"never ends",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImlhdCI6MTc5NTM3NzU5MCwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbIm1sIiwidmlzaW9uLXRlYW0iXSwicmVhbG1fYWNjZXNzIjp7InJv"
     "bGVzIjpbIndlaXItYWRtaW4iXX19.I5NRaQYvGiXdu5DmmIHnviEbheQub1_wwKYaC0KVnhiAwIxrVIc_xTUQ9AIz3bxrt_s4HzZ67yp8pFyXA"
     "eTC05yVh2hflIRlo6xVixPwTR8XJnck6_9fsrIMrpkSUjJd54puCHmvxZ8-GjXSAMxjyNTvS5Q3-YbZUNQnRtLW8zN5a5QOXqusUvQexEKhns2"
     "WKkfxG7IbbDvbz-bCqWSe5lYqkbLfvI7mu8Eumx7u9xElBKRnXXtnE_G2EB_9x7CMtAl21posTut5zaABu2iD6rSwao13YRY77L7eK_q-BsY7O"
     "CXYlCk0UpvKqKiW3sMgB1sV9uV9lrNmUK9Y0ia9qA",
     "'exp'"},
    {"exp is text",
     "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInIxIn0.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLm9yZyIsICJhdWQiOiAid2VpciIsIC"
     "JleHAiOiAidG9tb3Jyb3ciLCAiaWF0IjogMTc5NTM3NzU5MCwgInN1YiI6ICJhZGEiLCAiZ3JvdXBzIjogWyJtbCIsICJ2aXNpb24tdGVhbSJd"
     "LCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
     "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA",
     "'exp'"},
    {"exp is negative",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6LTUsImlhdCI6MTc5NTM3NzU5MCwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbIm1sIiwidmlzaW9uLXRlYW0iXSwicmVhbG1fYWNj"
     "ZXNzIjp7InJvbGVzIjpbIndlaXItYWRtaW4iXX19.kgXvDKvN1rH0-F9CARs1u7kEPDrby9i_GprVt-Ft7v95dBSAYPFnxaEo2G8JDtcwHYz5t"
     "1mQJ32dkTFQcL3BLOhM7Je_wC5SVlKM_Le97S9b1jekFZEX7p5RLjZLXdTdzG-EzmfXW5Jt3kk2cNcO8dnBNYasWSPx8o5Mvmb4qffDS8gQ2Lr"
     "AIWvhVzkmpqMusP5aCXKwHc7xURN-gkPUQqHbKMi4e5YHXZjnSYeS9XrxSEV6aLVsxC-WuzfeIc6Bf1vEZ9eB1seI96XD6Lby7nwc3Bw2TnNuf"
     "FcHv7xCVUVC-ZHFrg7LX7thZWK1GeKKGbay0FNME6aax2U3io4nqw",
     "'exp'"},
    {"exp is after all time",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTAwMDAwMDAwMDAwMDAwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVh"
     "bSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.Gw2vaUoLZsyLcIs8ThRxxW9J_66FaRq96VNoM67_ln9KkcoqJX"
     "X78nO0A6ml-o7dHBwOXTbiGhLSRxBPYWzH1wbGswm5_m7VgrZSfgEFf35jVlyyEleTgUL4cX4zAKdv9sKSoL9zxikoKSmWUCn92nl8Jf2DPHyr"
     "kZbqNhQw054KHf3n4o727mTw2_ZsvEX0rB-UHPiDJd3nc85bW90jdM1ga4TeZvHRQvwlSmlcon2F5R1WpCuBaltmpjtccu-YzfqL1iYUKhlKTn"
     "tFNqqLZljlGDfDVCJtaddpKDMQsl69Gfha-a1mqPiDQfEC49-odczh7Axz5SM1kgGNbK4v2Q",
     "'exp'"},
    {"not yet",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfSwibmJmIjoxNzk1Mzc3NjYxfQ.R8RXvm2xxxCXzX9myNyrKlaggh10-TnsIv1"
     "ProQNfuL9roIKOs414vqJ2cO33jSbq35CfFxJYxbfXDrvn9kQoq1Y1xj-X99AOzZSzokqfGZDTtdMFBpO9G2KXMrrhIU6rUe3KoBW-WdKE8gGs"
     "u4yFzimpy4AJEQguVdCm_6Brngwi7z4axq-zpnucSm3i-7fsEF9I_FcL2htnN4TE4O4xijf8J_pg3Rn8IojhE3aXNQIhyEYSG7Qdb7NOTtq2sy"
     "ietvtuL014WMa36hO1_7w7JNK0gLn2J96poq6hCM7tWliJpJH_UqsntXAga_8dFyPuH1EZzGEWTALlAHAae8YkQ",
     "not valid yet"},
    {"made in the future",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NjYxLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.tKUM9jPe7hFf5mhMQmpushkYSC_2a1ZPjg0bkLU10gpHiZ8MguFBelR0Rg"
     "fUSD_F2FHeJLflWCa5ePTCMDw43-WGHxnPCoHskZauyJnfUsrmZ-HqN3v2K0hOxF5cQie_l_vIr_2qfVpX-l3EwOrFzGfokO8eE4zbXhdml4p4"
     "ndDV2ljZHUtP-5CilQEE9sew92rAExalabgVzLCRKQlBdjFcr3ENmNKK_HxrkocVsTCL0vZLUYEVpsAGAGh-Qp5h6aMPoOHJY4yo_vxYkilbvq"
     "SIRPd76qimtFu6V5tCe3ywcIxZ9HUu_2_xgSddyhgCM4GMZDbB28GFcWpPj7k1SQ",
     "not valid yet"},
};
