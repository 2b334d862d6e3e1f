/* SPDX-License-Identifier: Apache-2.0 */
/* Written by make_jwt_vectors.py. */

#define VECTOR_NOW_S INT64_C(1795377600)
#define VECTOR_ISSUER "https://login.example.org"
#define VECTOR_AUDIENCE "weir"

/* With ' for ". */
static const char vector_keys[] =
    "{'keys':[{'kty':'RSA','n':'y5SJ625alnuGCR_Q9aJHFU9ImyK6Ip5KgE6f7xyC8iWIvfO-8msWrqVpNatXc42_yJ8vyyL5Tqtaxr3h-sb"
     "P9XY7Za8cGOho1EkgOqdJRU9zcN8EYKr-C1EBo7vYUGwd-4E6oW7w9leO2laP_UHHh6oBFYmov33lKGyczFbFbU_H6EH7JEKvQpXpykjA-zWbt"
     "ZDyAKi9OiEdfuQlyypfPElK0ceReQLEcw5PonlvwuiQ-8sjZdX7lD6kU8ERSa_WTXHeSs_cpxaVoX3QvvbrJXV8qXLGdA-SCbnaHkVCQJaz_3y"
     "iiYesSo6Lc4YJkbROVpD97sJkVFvTMhKUBx-6TQ','e':'AQAB','kid':'r1','use':'sig','alg':'RS256'},{'kty':'EC','crv':'P"
     "-256','x':'zB58osebdxCp8CVAgoq0-7tVL-5w_2lbULKEuJkl-8g','y':'aeSHUPx_OgRGF2J0C4FBC1M3PxUoZ8pM0pamv524pcY','kid"
     "':'e1'},{'x':'WVWCh90j6lsI47dbsnmpbl4Cl4Vgx0OzsKOv91T7J70','kty':'OKP','crv':'Ed25519','kid':'d1'},{'kty':'RSA"
     "','n':'rMTZaujSyEi_wABJUA6DGc3eiECQ1xv0yJtEf69H9BwMUtwl1-zd1yJMwbnIcBMXw3Sk1bdqOFg5OfK5gq5w_jNN-hLIqZfiPivS5EX"
     "poRoY7LthETXXiBg6ihb_D6LDcpM84rLNqPoVVUYeWXN-nIqIsoaeI3DlWi2HCnq2M9M','e':'AQAB','kid':'small'},{'kty':'EC','c"
     "rv':'P-384','x':'xy1DD90jZK49JkTSYX6_W-mjIj-QqvKIfJgV0zosWcAt8-6xKFiIecRq5_XQaVDL','y':'QQGEtGCtLXhHqFc8dBo_9D"
     "P8qwc1FdsdMUO4Mp2iQ6ndkdZlYfpYwxxMdd8ErRBM','kid':'e384'},{'kty':'RSA','n':'wuneAzZiEXIJSiP_z2a_n9PqUsAwtogIfX"
     "hl06EL0pq7_82LS0pfBjbXmv38nZxLWi_1cVy2OZnznplCzsH3hji6SGG1FKo5wkSNd9x49Ok-1tPDSMbOZlEGOh5CA69ZcGDimESOofpZZIGX"
     "TnJgw3GMejm6pJB6dZdIK4Xl5B7KdWt6QPA9TfSDMGTUKtMPeueTe00PK5fYlLlK_hHbdbA1nFYnHu-E1KipTZhnvs_DEMbhtLrozEOAcSq7gk"
     "QEFrm0A7gqf5rfDl8Mw73ZPwP8ppzbOQeUqvbupT6FdkjqxSEQGQTWtGtI9Ac0mynoruHx90LsQ5qtT20fY148-w','e':'AQAB','kid':'en"
     "c','use':'enc'},{'kty':'oct','k':'c2VjcmV0','kid':'h1'},{'kty':7},'text',{'kty':'EC','crv':'P-256','x':'TUQopH"
     "CsTGc30Ji9Isrf9f1IkpKC8955WdT6BmHsdQ','y':'MXfi1fYUV5JSkSXCN4dA_G8k3UIG3kT6Wiht3o0jRGs','kid':'ex'},{'kty':'EC"
     "','crv':'P-256','x':'19rpw6fxipyuk6EjiGBXUkGGAImQg2YXa0uO4_Unwso','y':'YR7M12XDht6K4jIzp23UepzD1jRarhWiTr1ovOb"
     "YSQ','kid':'ey'},{'kty':'EC','crv':'P-256','x':'AMwefKLHm3cQqfAlQIKKtPu7VS_ucP9pW1CyhLiZJfvI','y':'AGnkh1D8fzo"
     "ERhdidAuBQQtTNz8VKGfKTNKWpr-duKXG','kid':'e33'},{'kty':'EC','crv':'P-256','x':'AADMHnyix5t3EKnwJUCCirT7u1Uv7nD"
     "_aVtQsoS4mSX7yA','y':'AABp5IdQ_H86BEYXYnQLgUELUzc_FShnykzSlqa_nbilxg','kid':'e34'}]}";

static const struct {
    const char *name;
    const char *token;
    const char *refusal; /* "": see the test */
} vectors[] = {
    {"an RSA key's",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.YqyzMfjuh0RpnLPYqyGzdU2d84-f3abB3P1RUZ4WapikkN_yDCpLizprst"
     "pZ3Knqrx4eVF0dLkl132fdAauCecUJYvoCFy0JGqBsHBymN4ooxbnVFFRKBYArpirY9ubBr2xm6TweO_Ww6rljS0lfEjOCIiHEjl4G_9AvltLf"
     "59wrggb224K_j_JPNh7JlCNukGlLLvoDtgr0rf1rw4bJWLwfGO-hkGAwXY807TW20G86ZDU1_dnsM_zfZr_osld_af6C6scfg0hXHNjHjPgKjM"
     "3V_qoc-b34ZyzZMoYEJJm3pxjXRv_miM96dAh-iMS8rMMHjcJvHP48j-4ae30hRQ",
     ""},
    {"an elliptic curve key's",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.U0riDTzpZepqyWwlFlG2wW1i5XezmvOlt0zcKTiLiDN5RP8Fb5I7ewmRd5"
     "oz1wjQVcTC-M4Xz2PTCXjkWC4IhQ",
     ""},
    {"an Ed25519 key's",
     "eyJhbGciOiJFZERTQSIsImtpZCI6ImQxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.40dr8R75k-RhbjQOCnD7uaB8b8znF_tXqkFoYFoK68dpBczFp4Q-MUQCZR"
     "egLZg21QnCtBvKWVjl9JOCgt3vCg",
     ""},
    {"the one key of its kind need not be named",
     "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2VpciIsImV4cCI6M"
     "Tc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3M"
     "iOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.mhhNcUxiJgfsHS1EYmD7mtpOxCzs--cpXiZfkujNfkii0oIoG6yBbWd8KRRLl-Kw6FoqPho1i"
     "v35bG1GOuA_Cw",
     ""},
    {"audience in a list",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjpbIm"
     "90aGVyIiwid2VpciJdLCJleHAiOjE3OTUzNzc5MDAsImlhdCI6MTc5NTM3NzU5MCwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbIm1sIiwidmlzaW9u"
     "LXRlYW0iXSwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIndlaXItYWRtaW4iXX19.uiA7smiYToi-UfZL2XvbJ61bkSBRqKvutN42a0fgNDx48"
     "StUwD4YpBRGyVhxQ7u-B8cEvBmxaxDxMMQOD3RYFnvuw91gsr7JqBXkvV559r9FxS9L59WGrGD8Oq8X4qMAvGuvZso6ckuqEAS3Z7ciaK0Nkrg"
     "ysUIDjdTznd-NFYpO5z-0I_lVYantTUwVpFuePuspXZd4PSTXiFqtwpxli2GjDWrO491APySKzrYDoO5FvtH6AgtOeMr0D0-nTg40N7NnYVaPD"
     "eJi51n8C2Lhdr30tcylVdIUCTGSkT6W9LltLWwKPvrGE8KeljZDkpMuY3kzK566mJkQr0F42tyMqQ",
     ""},
    {"times with fractions",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMC41LCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0s"
     "InJlYWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19LCJuYmYiOjE3OTUzNzc1OTkuNX0.wHz8aLveDV_L5WOS9rnSEX-DSiH3f8"
     "GyaeXEQIALGs4Q7Xu-mj-guGPsWba2MGyAcbXdz18wtDD0ygj1PFEa5P8Qa-CoFwHdaO1sEzpGhIclj0ZePKH2DRMIyVPyC8haiVyXiWA4VLvP"
     "oEu_jIL7GHU4hEZNQzktNvC0-WB-729gg7weiECcpiW9EEluzC9ju-cn-PnDTRV5a-Q_M2krrL8gDV_08CfHGuoM59bL3fVRy3UCTuT-WgudqE"
     "xFEuZ0Nm9UPUhDu1WG53P-MkcDQ22J9jOaOL8auvhT_cFKc7SdzkdktFP6ZvqQD0u6ALdSpD5OCodNnQZqV2jnw7lzIQ",
     ""},
    {"expired within the skew",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzU0MSwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.GI6Bp8PndTrK6GRW7HDyszEA0q_B4XH1aIKa8L7XXblhpqAk80kbND3HvZ"
     "YNco-uQFGwkLwBXUWZbvJAadXgzvlC7kIb881dzuEvQlFf7mxl0jQIq2PjAh8nMuseMmJxO7L04pV01HmA6pZAmHGcEPoakJYWgeZ23I8WI2vY"
     "SPfwOLZjFMqR7R_qHwbRKVPVvqHtetT_FjCNQYuesSYff9At3L07gR0SwduWYbVADJEPi5asrzCTuc7oSFTUlxjV1b6RoD6hStreg42diIQDQw"
     "DZO8B2He7bEx5huhRO2nWn2roP-RC-uW8rPGMxbvF8ZBJFMnKMh97iv_H0dUVbpA",
     ""},
    {"begins within the skew",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NjU5LCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfSwibmJmIjoxNzk1Mzc3NjU5fQ.kOJpf1hJ2ecfWO-lMBUn_vbR8rmv21O_D5O"
     "Y0eY8wnCI7IMsIqR7_f4UaSPnDRxDGm589v-RACR3EK8fpAgXvxKQSCKrp3lujh90sp1DgP9asi-Jdn-72ZqGeksYdo8pv2qCN6bGvC8E_vz85"
     "4NZFo0YgcUYoOuOX2iANFWlrc3azuh5TjkTU9Wj8TE5Vn1J6NwukrbXZD5MgqmY7rLgz8bUGCeEZO4CQj2AuNS9z7fGEFt1CmnkH7rtL9t7JfA"
     "fzMLnhNr4LeJBi3z4NkNGz9hMNOAU9xL252erSEVupfAaCFjI8p9qau_NMbHx2aQRV4RiDi3H6dwB11FFoos1Fw",
     ""},
    {"a key's x without its leading zero",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV4IiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.qeDSpo02WQl2SkwFoNduYjUOB-R5YLaixHB6nv6U7ZFSmAqW-BT2mBOMJe"
     "2lkP6VX90o-fs4HGC9MNIDA7iOOg",
     ""},
    {"a key's y without its leading zero",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV5IiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.9zCB4UgDAVpFMvBO3KDct97TXDz-GBObqYUrVdLiZrMXFwid3BCy0a6lKs"
     "6hQLI8S816QiHIDgrRyaIK0J6Q7g",
     ""},
    {"a key's numbers with a zero before them",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUzMyIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid"
     "2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJ"
     "yZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.kGRjcvjS_V81htcoh0csyIbpF-wqaoHMyAKpvYUAC09tAkLqZ_Qgd4kjf"
     "BWBnlgvuW6KojCBe6nseshYvKSdwA",
     ""},
    {"a key's numbers with two zeros before them",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUzNCIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid"
     "2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJ"
     "yZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.m1G1ggjvi1N7g1CbCeJ-z02VYEeo-pmUKLEye0U_JXbl7nevbu7dVN9Dy"
     "4-3nShl-BKMV6zRtNEhWYPlFckWAQ",
     "does not publish"},
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
     "LCAicmVhbG1fYWNjZXNzIjogeyJyb2xlcyI6IFsid2Vpci1hZG1pbiJdfX0.-06IyFNpeyF9SUXtOXou3enVZpbg87pyR3PoRoT_JxY",
     "only RS256"},
    {"RS384",
     "eyJhbGciOiJSUzM4NCIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.qyTkpXyXG048zkhcjo3W55W5yR4enZ-crdz0uBg9q1M_7YiBnHLB9WgVri"
     "25ODVf8vqgad9bnHFtvNUWHJ89k5ppxcU_dJx-FBc__Xeb_Brm6bqZ4hIVdEKGSINF13nec4vrW8AZxBWNa5PKBVh0sgIfq-6_Rp2jhOuH3Man"
     "4ShM3X6bsvK_DC6Wlnd31luRVZXc7vdLNaL7Ubf9uKBLE1rIgk-vK_E53T4DdQL_iWAHE9axeSjsZNSPBPY2iLLczr8YtjJ2FsnoIq7xGzKFP4"
     "mgqapae0nEU1fkKIKnzRlv0W_GUWKsyAjBSvM9F8m0OwjrwuZ_XiFlBIdYLs-2AQ",
     "only RS256"},
    {"PS256",
     "eyJhbGciOiJQUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.oFi4o4DCNzN1fncinQWtYsagblxii5i0Ysy6WSw0sgTVwwFTfURDBjVDfu"
     "2lbm3vU09p3xNLKaDCgod6xmQbyvV4GENk4VH0rVKd66NH6HI2DIPgwz8UXRSDKV6oGwdExhEfenyvsFPkg5o6gALwLTtZ5ODYUVt0eIKIzOOc"
     "SnJ7XqtVT7dK92k2BN53p8BqgV6sr56TBymJnDoNq2Yki1t0QL14nnxtD1jW2SWNv4tnT7m_qZqAIPaIvt-S2Xqzi5EbmFbZcL_Vo7R_oc8U3V"
     "YZdACU7KiwEfAtmRf34ObhpOaZ8C_cz-vEI4zN-BWOzJEmB6zjVn9Qw6tUHzrxow",
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
     "aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.Ltx9EvSG9_uzyuwxNzMdapo7U_4Jr0JQ_LPok5"
     "lu4A-Cx7UkVXbXjxkf4vWAxtZ3cd4alGDb3Bu4sdc6hEGCUun0nwYcJWJ3-XXJUTta53dvHUi_RgZPJ_oqIozsBdMrLEpMF_XxoTdEF9KOY2Bl"
     "pzjIhe0K7Be1_bS5qRq6Oxr0017TkZOcRyvkTbeLbLzebdl-M13btO-Rs8bzcP6bH2FlPxNLVZJgvMtBxMSFTr3C5FQ00eu27V_c7VjqN5ql4w"
     "GEZzbR7BS5U3iWyH6re8fmZd5oEpCZtvG9GUUeeuEw2ZExn8SuR6odxIjkvKD0u4pxP-K85VO42YVVMEzUGQ",
     "crit"},
    {"unencoded payload",
     "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiYjY0Il0sImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbG"
     "Uub3JnIiwiYXVkIjoid2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2"
     "aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.cpXog_vamEO0lCOllaFUvR6Ohgt0FT63XttaBG"
     "hRlPfzPDqO9IfuvE_ycXO0CcTDpUJUGCXFKwcvr-_UVOf9VXtnAVv93uW5Uex4Nxw4jYEeQuZwMEuVKO-DTPt1JE0XKZRSuIaHnYIvLo1Z3QZ1"
     "jMZ2579sLocOnRof3T0XwmOE-Hpyv5ZZlfTHM0wj9BzhO9IUaLp1eUmgfz61XsNlS20guAtHzIJwuF8THEanUx260cPPlSVL2e4JYBPX2dEAN-"
     "wAc3-ziiA2xYriXtV9Ypx7Gk6kDp3jaVSHGEzJEY3OaYnVTrXAILtKFtno7b43bz51wvM6N4_IgwRWG-T0dA",
     "crit"},
    {"a key of its own",
     "eyJhbGciOiJSUzI1NiIsImp3ayI6eyJlIjoiQVFBQiIsImtpZCI6InIxIiwia3R5IjoiUlNBIiwibiI6Ind1bmVBelppRVhJSlNpUF96MmFfbj"
     "lQcVVzQXd0b2dJZlhobDA2RUwwcHE3XzgyTFMwcGZCamJYbXYzOG5aeExXaV8xY1Z5Mk9abnpucGxDenNIM2hqaTZTR0cxRktvNXdrU05kOXg0"
     "OU9rLTF0UERTTWJPWmxFR09oNUNBNjlaY0dEaW1FU09vZnBaWklHWFRuSmd3M0dNZWptNnBKQjZkWmRJSzRYbDVCN0tkV3Q2UVBBOVRmU0RNR1"
     "RVS3RNUGV1ZVRlMDBQSzVmWWxMbEtfaEhiZGJBMW5GWW5IdS1FMUtpcFRaaG52c19ERU1iaHRMcm96RU9BY1NxN2drUUVGcm0wQTdncWY1cmZE"
     "bDhNdzczWlB3UDhwcHpiT1FlVXF2YnVwVDZGZGtqcXhTRVFHUVRXdEd0STlBYzBteW5vcnVIeDkwTHNRNXF0VDIwZlkxNDgtdyJ9LCJraWQiOi"
     "JyMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2VpciIsImV4cCI6MTc5NTM3NzkwMCw"
     "iaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiO"
     "lsid2Vpci1hZG1pbiJdfX0.M4edZnMODl_a2PfLnbH4oM2UrhBIuAQ0EGRjemHVlBYqQTjcEKG2C5kKn7A6fX9FVhnQG6zevvB1uy_SljrJBh0"
     "X2skeOr6OqI8YjUrDA1TAScaQbCTOblN8CWRm5_-gfppCKHM8J8bg8kXY2421jjoweGY7YosmcfU-rIjJbr5aI3kV9DXpjUTBogAcRU-P-RKlm"
     "e42iuSFD6_MqnyQGgCqpRiyd2VzoYpHwabP0s85y_MnBc75fMzjvaFMURfXMlEjpOulbDGGViGcLVN9WfnIsd16-byHsyHwCiv8k9WnIBcip42"
     "DmZmUDEbWS7yiWn_hgAlycDzYqHwGwkw-Dg",
     "signature is not"},
    {"a key that is not published",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6IngxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.kivhqQ1dhnqNj7FQVuHDFswT3g9r2GYgQZx1A5pH0vcyN3xCVQNORNtOyX"
     "__rSy76rMvFIc-VHhRxyh-CAE8XZI3FxZ_d2D_G9o1_Tztyd6DL6KyVKx-ciVziWpF2E_flRhbV2pne9qpDp0tF1RKnM7yXeXEhTRVmWT2ko_i"
     "hLjBvQ2xt3p7rt_lZk_OSte3WQ80cSlAvrUEr_Zew7P4AYPKfX_q4Jpf96iZXY2j_lmmg0_TqkRP6mvvRJlI7f_gxvDClCCK_-ns-uzv9dxU2-"
     "e0slL35fRmJZ-CNRyxL5dzSdANYcHzFaVQLrra0fBGWdk27OUiIWCbVg_jDHaOHw",
     "does not publish the key 'x1'"},
    {"a key that is for encryption",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6ImVuYyIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid"
     "2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJ"
     "yZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.DOsY6l4UH7EDubl_tUB1i4NDuzBeS9kIrelWm6zumkrpQDay7muI12O4-"
     "ch4j67rvjcIVqhmO155UWbjrUW97mYbQEOxTSwyqOWGUKaVA16VgyhC15pTSMsOg6Giy8A8j7vEz2P2d0Dt3ROHnQxaZh1iB5ePtBPvpZgGwzb"
     "e69J0gbCfHBUKxNwHT1tnSk684DTztEyRDn4eGYaHqi41FxbRNwdlS1_CFLm1BEZtYLpGYLYW8xuA-llL7wq_Osuef2vtllnPtLfJpxIUeScY3"
     "q2zqzF5A6ojOYUxaII2U21rNvOb_8igFz_HtzmXFi-V_4-RtNSwaOuzLIx22zgz2g",
     "does not publish"},
    {"a key of 1024 bits",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InNtYWxsIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIj"
     "oid2VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJd"
     "LCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.YrNKGBK-ZDAF7RuBnLDJ96MEFM0qF-pN-Yo8WMdvr9TRHuucVY1mE3"
     "CusjwG_upZz2ADZY_TgE3kMzRnNe9FQPwEj9kzO8Hqhajl6OifiElaflspwKdXdvI10gELhGq60KAedXBFhvzFsnHQ7fpAURKFgJ8l5lKCKPkB"
     "_2ImsK0",
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
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.YqyzMfjuh0RpnLPYqyGzdU2d84-f3abB3P1RUZ4WapikkN_yDCpLizprst"
     "pZ3Knqrx4eVF0dLkl132fdAauCecUJYvoCFy0JGqBsHBymN4ooxbnVFFRKBYArpirY9ubBr2xm6TweO_Ww6rljS0lfEjOCIiHEjl4G_9AvltLf"
     "59wrggb224K_j_JPNh7JlCNukGlLLvoDtgr0rf1rw4bJWLwfGO-hkGAwXY807TW20G86ZDU1_dnsM_zfZr_osld_af6C6scfg0hXHNjHjPgKjM"
     "3V_qoc-b34ZyzZMoYEJJm3pxjXRv_miM96dAh-iMS8rMMHjcJvHP48j-4ae30hRQ",
     "signature is not"},
    {"another signature",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.YqyzMfjuh0RpnLPYqyGzdU2d84-f3abB3P1RUZ4WapikkN_yDCpLizprst"
     "pZ3Knqrx4eVF0dLkl132fdAauCecUJYvoCFy0JGqBsHBymN4ooxbnVFFRKBYArpirY9ubBr2xm6TweO_Ww6rljS0lfEjOCIiHEjl4G_9AvltLf"
     "59wqggb224K_j_JPNh7JlCNukGlLLvoDtgr0rf1rw4bJWLwfGO-hkGAwXY807TW20G86ZDU1_dnsM_zfZr_osld_af6C6scfg0hXHNjHjPgKjM"
     "3V_qoc-b34ZyzZMoYEJJm3pxjXRv_miM96dAh-iMS8rMMHjcJvHP48j-4ae30hRQ",
     "signature is not"},
    {"another curve signature",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.U0riDTzpZepqyWwlFlG2wW1i5XezmvOlt0zcKTiLiDN4RP8Fb5I7ewmRd5"
     "oz1wjQVcTC-M4Xz2PTCXjkWC4IhQ",
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
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.YqyzMfjuh0RpnLPYqyGzdU2d84-f3abB3P1RUZ4WapikkN_yDCpLizprst"
     "pZ3Knqrx4eVF0dLkl132fdAauCecUJYvoCFy0JGqBsHBymN4ooxbnVFFRKBYArpirY9ubBr2xm6TweO_Ww6rljS0lfEjOCIiHEjl4G_9AvltLf"
     "59wrggb224K_j_JPNh7JlCNukGlLLvoDtgr0rf1rw4bJWLwfGO-hkGAwXY807TW20G86ZDU1_dnsM_zfZr_osld_af6C6scfg0hXHNjHjPgKjM"
     "3V_qoc-b34ZyzZMoYEJJm3pxjXRv_miM96dAh-iMS8rMMHjcJvHP48j-4ae30hRQ==",
     "signature is missing"},
    {"two parts",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0",
     "not three parts"},
    {"four parts",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.YqyzMfjuh0RpnLPYqyGzdU2d84-f3abB3P1RUZ4WapikkN_yDCpLizprst"
     "pZ3Knqrx4eVF0dLkl132fdAauCecUJYvoCFy0JGqBsHBymN4ooxbnVFFRKBYArpirY9ubBr2xm6TweO_Ww6rljS0lfEjOCIiHEjl4G_9AvltLf"
     "59wrggb224K_j_JPNh7JlCNukGlLLvoDtgr0rf1rw4bJWLwfGO-hkGAwXY807TW20G86ZDU1_dnsM_zfZr_osld_af6C6scfg0hXHNjHjPgKjM"
     "3V_qoc-b34ZyzZMoYEJJm3pxjXRv_miM96dAh-iMS8rMMHjcJvHP48j-4ae30hRQ.x",
     "not three parts"},
    {"empty parts",
     "..",
     "header is not"},
    {"no base64",
     "a%.b.c",
     "header is not"},
    {"claims are a list",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.W10.YqyzMfjuh0RpnLPYqyGzdU2d84-f3abB3P1RUZ4WapikkN_yDCpLiz"
     "prstpZ3Knqrx4eVF0dLkl132fdAauCecUJYvoCFy0JGqBsHBymN4ooxbnVFFRKBYArpirY9ubBr2xm6TweO_Ww6rljS0lfEjOCIiHEjl4G_9Av"
     "ltLf59wrggb224K_j_JPNh7JlCNukGlLLvoDtgr0rf1rw4bJWLwfGO-hkGAwXY807TW20G86ZDU1_dnsM_zfZr_osld_af6C6scfg0hXHNjHjP"
     "gKjM3V_qoc-b34ZyzZMoYEJJm3pxjXRv_miM96dAh-iMS8rMMHjcJvHP48j-4ae30hRQ",
     "claims are not"},
    {"a claim twice",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJhIiwiaXNzIjoiYiJ9.YqyzMfjuh0RpnLPYqyGzdU2d84-f3"
     "abB3P1RUZ4WapikkN_yDCpLizprstpZ3Knqrx4eVF0dLkl132fdAauCecUJYvoCFy0JGqBsHBymN4ooxbnVFFRKBYArpirY9ubBr2xm6TweO_W"
     "w6rljS0lfEjOCIiHEjl4G_9AvltLf59wrggb224K_j_JPNh7JlCNukGlLLvoDtgr0rf1rw4bJWLwfGO-hkGAwXY807TW20G86ZDU1_dnsM_zfZ"
     "r_osld_af6C6scfg0hXHNjHjPgKjM3V_qoc-b34ZyzZMoYEJJm3pxjXRv_miM96dAh-iMS8rMMHjcJvHP48j-4ae30hRQ",
     "claims are not"},
    {"another issuer",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZS5vcmciLCJhdWQiOiJ3ZW"
     "lyIiwiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJl"
     "YWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.ewqE2P6Ej0zhhqhZwueNfJDD63FZts_vR2yj0MM2EjdccbeVZIX4zAJ4oC0"
     "qhiYKLJPjhUWKyg-IwrGmCSiUL7v88lnAtxATLtsS_JRwTmEkd_ByFe86E1U-m_klPU6ICmPpPQM-ZuPtAeUeXH5FRnot6EWAeB4fTod9AWbwg"
     "cbbE5KAu5E9z93UDCgab4NDraaozyjaGjB44Jh-5oAV7N_UcKr5PCVbBT_84kCc1JQjb12YaEmYst6KKzKEBGTIRHVPHSmp4Q10_ZvqN5TT4cp"
     "7eDAd7_vXHc0aU0CCCTfhnoDcFPgwm_amHGZSZ5xL7Nwqo7xwj2JprB-x4yxNWw",
     "not of the issuer"},
    {"an issuer with a slash",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnLyIsImF1ZCI6In"
     "dlaXIiLCJleHAiOjE3OTUzNzc5MDAsImlhdCI6MTc5NTM3NzU5MCwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbIm1sIiwidmlzaW9uLXRlYW0iXSwi"
     "cmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbIndlaXItYWRtaW4iXX19.vMyVgGrAUWpUBDM21jPK5UDtltMHeVrk0gBOxfYANVK_rO25rhbLhkp0T"
     "RMH1dgLI1kNlln68h6hop2VBPPHszm5siGQxrA-CiDfqy7NzAMB5CLc8PNKP5YbegmgR45Ot11PGRmKEbF2fpZXebiH68hJJqQrYfNuxDicECc"
     "rZ5GuNH5uuXi5yHRkIlnOExpPmMHfYOzFOuwR93lSzky46OixHhUyS6WI-CBJTBwh-1BFNIyEf9VeOmBpmrIrj8BvkSa_oG62FsTd14CBY0H1C"
     "uxXSOPZhcFCtiqxQDLPKJkDLC81DR6BWS2-_lRnyBg9MiF9lw1kozWaC1o-1M37lw",
     "not of the issuer"},
    {"no issuer",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJhdWQiOiJ3ZWlyIiwiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNz"
     "c1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJlYWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWlu"
     "Il19fQ.uBnGRzgy7jojFaO-GrBI2as4PtcrXQNvsOSXQbZMFEu5LmFht59HqxhgjiosG3AI0m1boacHreXjsrMN0mqjyKOTE8swFcP37xG6J3y"
     "Egpcawf32o7rfoaC40x1P6x3uFKQ9Ehef5VjreeerPMlYQH0PI4v6PUkAFUyUMI7-3HQpviSfa6bA0p-3Lyyu-KxSPd09Mt_r32J8FRG9NmR5E"
     "VhrnIj7vVvvnplr3ExBiK3noZ7gfT0se5jKfGw4GuuH_Z9H3vSt9tAYE4XkZsWX_rFVkuXrUCCfsMGhCQVhYgciIvT9Qp-9eHGzJHoOIKQ-iJE"
     "rxMJDnKDdbbc5Ce6V9Q",
     "not of the issuer"},
    {"another audience",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpcmRvIiwiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0s"
     "InJlYWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.oYDiMPI1W5ukUnTjBuEVhqtE1e-LrA5gapTAr8cxl_8D9yh3tNB2mDV"
     "SZgIW9tsUpOCamghAtex9YLxy4WB6cXbbWuhHxwV53ApUGbye5ouHq5Z0HUHlizSbRXIwfB_wSE-7kmR30ALA26ETAaxszj9Hl1f-HjyZMRYwt"
     "PGTZvZXUSYvksLmBuNQMMtBNqGl1UrbJXYaeGS0ZC1Y_uc-EFjheqEqwhfmmeR_Wrqaw53vnjhHWB_IH9v2eED9nNAdH75hHmQ2KjVQSR61mVm"
     "nKA3nMOvs7dLI8y_AcryP4O1dfKfkqr4kZaCNglRGMlhR5MnAd_Z8V1dTl-WqC2UXTw",
     "audience"},
    {"no audience",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiZXhwIjoxNz"
     "k1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJlYWxtX2FjY2VzcyI6"
     "eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.gLvefe7IvzWdP0QXms4oahAQKusBIwHC2VxRbpPJW6VH9d24dL4F8zLu_Co_78aADDjB9YoAcJc"
     "8bYayPC28eXm1a71S_hKt2r6nTEjZVgQvTUxZBJ_7D0PTdx4fhFwbWtDB6m6EajDbzcioGuSjfaObxgsMpo68ZzAJFbF3XtBtz7vfIkiwYwqJ6"
     "5_LjM8pAwNaft8I8VNeISzXffVo3G1FLJRwMEhfjnjFOYbgb7Zp9YtnmsWdW9wbOBTcQDmHKgCPLecdU0BfbE7AXRidqI5Bvh3hLHKa1cYEHAc"
     "1_Y2VGuhZnXBz4vDq2urGPlDCWqomB7Mt4j8b9kvheq-hMA",
     "audience"},
    {"an empty audience",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjpbXS"
     "wiZXhwIjoxNzk1Mzc3OTAwLCJpYXQiOjE3OTUzNzc1OTAsInN1YiI6ImFkYSIsImdyb3VwcyI6WyJtbCIsInZpc2lvbi10ZWFtIl0sInJlYWxt"
     "X2FjY2VzcyI6eyJyb2xlcyI6WyJ3ZWlyLWFkbWluIl19fQ.XM5wwLBzbAB4_hw1bmib89gekgI6arpbiJnVNmRnWlV7W9zcDMK4gyA2s4UGEtI"
     "3jkPwDvM4L8UYNr_4XBjLcYRAyNBrtFphyDOfYrZeOOpfod_Nyvw1kPJvjT3GxQoutQbx_ViRr9TQwOfxDEvGiRqYnDKdG21n-Px3e47U-Hvpf"
     "ni_3DVu1U52xeX-laLLRpJyVDh8F3zym63xNfhnQvsKLSNVPxaZlWzkQ0Y10I8xnKr_hixRQIco2mc_kRlZYUkbeGWLsV9ZAK2aTVRbIPZZWph"
     "GQr-TVVqx-HWu4uo8CQh5xQ3YShV5NBt8KR0X3rHKOgFviz3y-jnmWvZd9g",
     "audience"},
    {"expired",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzU0MCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.RSzOp26jrT8uL5BbwSLoIA7idG970GjOF-DYyYphmZvzsZTEXX9JqFyzKU"
     "sIn7RrN47O5XyDhJex5LEl00OYBnEJX6wq8Z1f20bK2rotaYCbrUGZWQqVoRbuzXnaYYht0WsmC_sGSG8GRi412xX38bKPmh24Ja8itTzrz4Re"
     "k15LCfulq8QjU6zK24wb2E8F5lRKKcT5zMw0XZUxQ_n7e45Iw4zsn0WHUmIA-_UkiesxDk-fy7Zw0lU-MluaKJE09kL2wvjj6g33FiuBOrSUeE"
     "BoM5OAgCcf5uzQ8OWV_BE-xdP6u3Dwc0OQVrUPUyYijMW683dh6_mzKH3GEiO12A",
     "expired"},
    {"never ends",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImlhdCI6MTc5NTM3NzU5MCwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbIm1sIiwidmlzaW9uLXRlYW0iXSwicmVhbG1fYWNjZXNzIjp7InJv"
     "bGVzIjpbIndlaXItYWRtaW4iXX19.G7DSM_X4hEveEsd3Lxb77iwTCkexhhLKBGlje9pJ_mWKflpfBx9p_y4tvjFNs2JdPr6mwpncs-0ub6Ifz"
     "nOpRNL87NWMIWGT1tOvTqrEbOiy8fBBdiTQ3v7ziWc6QfyQ08upsculLumP6CpwilB6ui5scGKkvrVyH9KAl4VTD9i2KObPn1ODBETht4_Nb4r"
     "kYQXbQA98dHpBmiJiKPb-BBfqui8JKJ_Rya-n17wRkxh_6GclZ7klge3by-LmEjJFeatq5bY77jxWMuBgrIYrTO0jUxhCVFZsBzPJS4-MjQHTj"
     "5kfIC3R037bdCps4KRIvdn0iCYkliIHlMCkSJpHNg",
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
     "ZXNzIjp7InJvbGVzIjpbIndlaXItYWRtaW4iXX19.FPmdJ6q5O5SSOzHbLnV3S0eNtaY57L-2j0gLsedczaE_DVMWeLXTTMguctgP9c7odaCFV"
     "9Rkp2mzNzyDcTcxPZkhwt1o2sgz3OkPSE6UjA2Qclqkbz6QyIp39bqmhQF-4Q4WpoDfjyIJuoXmD_qY6Ucq4BX1y_-ryzTzlHg7AlspwbzJlKP"
     "PtMUOtOB2P9g_xonk3QN6054TGBd96vDdK65mCd-BcxrLIdxS457sC4juZR0g1b1GEZyMHLNMldeCP9-QEqFhdSbtkAxWD992vd4eBRZyVmLJn"
     "c4L8VnNjheUMyoozC_G-7s3rUNVqoslLmg_WMZSWc3CdnL60Ut8nw",
     "'exp'"},
    {"exp is after all time",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTAwMDAwMDAwMDAwMDAwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVh"
     "bSJdLCJyZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.IZbjmvyniXTbiyFU5ACJ9g7Zbi5hNf4JkXxoGR_NGdID5mi4kE"
     "vRpyqcgcS2mnfzGHjmKeFtoVBhSpHVQjNZvTNWnv93hLedIsoRQ9BCL9pnmJdqKZCEqzuKrUafwsL5pkIy5B9NLbgqY1p5pOy9f1LZ2PL70wGX"
     "D2mbjUTubM32NnrDDfm8c0Quy5m4HsTITQytTII3FqyhiLotAV8ZNwZCMilAISH6arB4PasOpFlNidIuZodiCcBz299P8wCKANlNyt5ogpc1zt"
     "SGsh7xiKH6R7AWZDyVnBEqlDjSqv0UyR1ZZKUP68k2Ck6V1begDqHFn71zm91odaikpvRq4Q",
     "'exp'"},
    {"not yet",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NTkwLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfSwibmJmIjoxNzk1Mzc3NjYxfQ.QWUuq9PE45L0K2YQPwVCBrgJFcOYL7g8_KS"
     "aRfwYZ-3CQFlw8g2RmCdQ3RbJcGX58HMbtyhTuboGkGkG0ddSn7LTYP-Gl70QBmvvcU-NenqlSZ3JGf1CqHQ-S_bvYY68V5OuLVxRb-_CW3TaO"
     "diWZ--720AXcAOGN8alIcMgjkv_fQXhU14TGYjSZ11JD0iiy6t3fP5BeKZdEzJVOeqEcNfMtVqOSDV3PJyWcEe9otcovzpDzxMbE01_7YfLGk1"
     "17O2niPBcUWy0FGvFtwC9fN4FtmLEinpsMQHqfuFbZHj0lFgP1hPGY3lHOwDZl-w9Zx1fxrtEr4YWEer35jzLXw",
     "not valid yet"},
    {"made in the future",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUub3JnIiwiYXVkIjoid2"
     "VpciIsImV4cCI6MTc5NTM3NzkwMCwiaWF0IjoxNzk1Mzc3NjYxLCJzdWIiOiJhZGEiLCJncm91cHMiOlsibWwiLCJ2aXNpb24tdGVhbSJdLCJy"
     "ZWFsbV9hY2Nlc3MiOnsicm9sZXMiOlsid2Vpci1hZG1pbiJdfX0.RUH6WJdEvwPgoo9iFeGtswGcEwK8IS3nbibuD6bOFuNucuby0myHjqPOaL"
     "57WkokvtC6AyrnzVeuFXDLxdIcajv6t4FV4X_836F-JNPgQQXL901L_Fk2aREt4lih6VbVAVaX6WX4p_LBVCV3QSlH2FD1mP4PhuW3NvDRSYg-"
     "T_ajri_eK_LzdiFh_tgf9uURHkHP2HwtQu3P2-g79teB_Oqd9FQpVyDnuy9kgy2af5rhyFewRMuRxI0Bzo4yHA-lprF8xBhmd-yIR-as9t1dLZ"
     "57qk5U1IJHEhr5rwHljXa9S6QzSu7INzvjKJgkaSeYGc8Pl9KLmL04N8wEIktarA",
     "not valid yet"},
};
