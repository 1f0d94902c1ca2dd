/** The first bytes of a native connection (docs/wire.md, "Telling the dialects apart"). */
export const NATIVE_PREFACE = Uint8Array.of(0xff, 0x4c, 0x54, 0x52, 0x59, 0x0d, 0x0a, 0x01)
