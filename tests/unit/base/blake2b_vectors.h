/* BLAKE2b of bytes 0, 1, 2, .. (mod 251): message length, key length (key: 0, 1, ..), digest length,
 * personalisation, digest in hex. Made with Python's hashlib.blake2b. */
static const struct {
    unsigned n, n_key, n_digest;
    const char *personal;
    const char *digest;
} vectors[] = {
    {0, 0, 64, NULL,
     "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419"
     "d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce"},
    {3, 0, 64, NULL,
     "40a374727302d9a4769c17b5f409ff32f58aa24ff122d7603e4fda1509e919d4"
     "107a52c57570a6d94e50967aea573b11f86f473f537565c66f7039830a85d186"},
    {0, 64, 64, NULL,
     "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786"
     "b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568"},
    {1, 64, 64, NULL,
     "961f6dd1e4dd30f63901690c512e78e4b45e4742ed197c3c5e45c549fd25f2e4"
     "187b0bc9fe30492b16b0d0bc4ef9b0f34c7003fac09a5ef1532e69430234cebd"},
    {127, 64, 64, NULL,
     "76d2d819c92bce55fa8e092ab1bf9b9eab237a25267986cacf2b8ee14d214d73"
     "0dc9a5aa2d7b596e86a1fd8fa0804c77402d2fcd45083688b218b1cdfa0dcbcb"},
    {128, 64, 64, NULL,
     "72065ee4dd91c2d8509fa1fc28a37c7fc9fa7d5b3f8ad3d0d7a25626b57b1b44"
     "788d4caf806290425f9890a3a2a35a905ab4b37acfd0da6e4517b2525c9651e4"},
    {129, 64, 64, NULL,
     "64475dfe7600d7171bea0b394e27c9b00d8e74dd1e416a79473682ad3dfdbb70"
     "6631558055cfc8a40e07bd015a4540dcdea15883cbbf31412df1de1cd4152b91"},
    {255, 64, 64, NULL,
     "8e1e2c579262b7c01966c3133c2bb704a165be2308ff8925a2f070dec7275740"
     "fa9fe004ee25c8e1a3dd57317065ee744f0821c4e911eee8e484e770f21dd958"},
    {256, 64, 64, NULL,
     "38efcfc158f8057f5365285db9184c77ddf4d53090fd89ef261815370fd994a1"
     "b23b3e3336d7ff97823271e7e50042576ce14feadab1e8357346ffa335a3e97e"},
    {127, 0, 64, NULL,
     "b6292669ccd38d5f01caae96ba272c76a879a45743afa0725d83b9ebb26665b7"
     "31f1848c52f11972b6644f554c064fa90780dbbbf3a89d4fc31f67df3e5857ef"},
    {128, 0, 64, NULL,
     "2319e3789c47e2daa5fe807f61bec2a1a6537fa03f19ff32e87eecbfd64b7e0e"
     "8ccff439ac333b040f19b0c4ddd11a61e24ac1fe0f10a039806c5dcc0da3d115"},
    {129, 0, 32, NULL, "f7f3c46ba2564ff4c4c162da1f5b605f9f1c4aa6a20652a9f9a337c1a2f5b9c9"},
    {256, 0, 32, NULL, "582f782226018ec33076bd8d1c42413530ac7e1126260ffc0f306ba3befc3f24"},
    {257, 0, 32, NULL, "227e15ed64ee8e93eb7bc53828f76eed974f2c4ab1408c3d08f212b7f8d69904"},
    {80, 32, 16, "polder-kv-block", "e408ca4cb2cbd2f51d2813c82e7376c3"},
    {64, 32, 16, "0123456789abcdef", "2eb81a3e58b8da456e1488170d65eec4"},
    {1000, 16, 1, NULL, "e9"},
    {4096, 32, 32, "polder-kv-data",
     "a5c38680ffa6caa623d4f2d6c3f967f5fe2a7bf73de0f9a7dec3fcae7843c334"},
    {100003, 1, 20, NULL, "a81e8fc604341a81ef12d7c4e4d466bed40da0a9"},
};
