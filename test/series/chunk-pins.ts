/** Chunks as they were written once, and what they must read as for ever. Never change one: it lies on somebody's disk. */
import type { Reading } from "./readings.ts";

export interface Pin {
  readonly name: string;
  readonly readings: readonly Reading[];
  /** Hexadecimal; of the series dev-1, temperature. */
  readonly bytes: string;
}

const irregular: readonly Reading[] = [
  [1_000, 1.5],
  [2_000, 2.5],
  [3_500, -1],
];
const mixed: readonly Reading[] = [
  [1, "öffen"],
  [2, true],
  [3, 7],
  [4, "zu"],
  [5, false],
];
const widest: readonly Reading[] = [
  [-Number.MAX_SAFE_INTEGER, 1],
  [Number.MAX_SAFE_INTEGER, 2],
];

const column = (count: number, each: (i: number) => Reading[1]): Reading[] =>
  Array.from({ length: count }, (_, i): Reading => [1_700_000_000_000_000 + i * 60_000_000, each(i)]);
/** Whole numbers below `bound` in no order. */
const scattered = (i: number, bound: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) % bound;

/** Each form of each column occurs. */
export const pinsOfVersion2: readonly Pin[] = [
  {
    name: "irregular times",
    readings: irregular,
    bytes: "46424348020615eedacddee7e087ecfc0a20efe28a7103d00fc413550515321e153cf403080401000002010100050806030b003d0072b13d7b",
  },
  {
    name: "mixed types",
    readings: mixed,
    bytes:
      "46424348024015eedacddee7e0874504edf06b76a8d1050201035501000e020010080602050092000100000712020008020103000102080c0309000400c3b66666656e7a75080001000002f0554115",
  },
  {
    name: "widest times",
    readings: widest,
    bytes: "46424348020a15eedacddee7e087e4ed4a5e589e651702ffffffffffffff1ffeffffffffffff1ff501020406010000010802010000023429d8d8",
  },
  {
    name: "decimals, differences, a patch and exceptions",
    readings: column(40, (i) => (i === 7 ? -0 : i === 9 ? Number.NaN : i === 20 ? 1e6 : 20 + i / 10)),
    bytes:
      "46424348026215eedacddee7e087207dff78ee33f83c2880c49fd50c3c2755050080dac4099003de03a0d9c509010110010890034203021415ccd6c409c5d6c409a96ab7aaaaa0aaaaaaaa02080e0200000802330008030d000000000002845d321f",
  },
  {
    name: "rounding errors",
    readings: column(40, (i) => scattered(i, 100) * 0.1 + 0.2),
    bytes:
      "46424348022215eedacddee7e0874dc10877073479502880c49fd50c3c590504ba0103b6010aac1c0101080108b6014737009b400410a8032201403d008804ea804004500f0022017224100194238040841c09002208000100020f140303ce798dd8190b0a8a2b",
  },
  {
    name: "percentages",
    readings: column(30, (i) => scattered(i, 100_000) / 10 / 100),
    bytes:
      "46424348022215eedacddee7e087ad9b6d39c5f686a21e80c49fd50c3c950edc35a88a0cb2b40884b00903f6f0ba01030101020108b2b40811d7fe0700abff4abe7d96c128224982356649c4cf4b197724adb08e3519fa293223d524a28607267541a96a6c9bd4d510e4100400008d8694ec1a981d4a0990b1f193d223c2c0c3f5",
  },
  {
    name: "single precision",
    readings: column(20, (i) => Math.fround(scattered(i, 1000) / 100)),
    bytes:
      "46424348022215eedacddee7e0879b204a893549e0ed1480c49fd50c3c0008000000c0f528f43f00000020ae47234000000020aec72140000000e07a1400400000803c33435b400102040108f20d0af70b00fbd6761400a2d2d8ce1f216bc79609c766395129460328d91210450ddb",
  },
  {
    name: "noise",
    readings: column(12, (i) => Math.sqrt(i + 2)),
    bytes:
      "46424348022215eedacddee7e0876b7845505b3601f50c80c49fd50c3cf000cd3b7f669ea0f63ff35961442bd80c40fe0f5e2cc4da3f400200270882b5ff074c000000b0a294683c6b3332edf22b9882275c4224cd3b7f661e55262c743d000000000095fe72f3ee129240e150c7974efd37effc99790000000000535bda3a589ab7fe49b92a1316ba7e3e2b8c680594805a4c",
  },
  {
    name: "noise of single precision and both signs",
    readings: column(12, (i) => Math.fround(Math.sqrt(i + 2) * (i % 3 === 0 ? -1e-20 : 1e-20))),
    bytes:
      "46424348022215eedacddee7e087dc6bc616aa0339120c80c49fd50c3cc00000000020f193e3bb000000208e48e53b000000c032b2d0bb000000842a19023c021d1408d3770e13000900f7debd1300e07bf81e0088efe33b0040be93ef696eba663908e51cf3cc075977259e696e6abcda97556507366b961347a4e15ce7be",
  },
  {
    name: "dictionary",
    readings: column(64, (i) => Math.sqrt(2 + scattered(i, 4))),
    bytes:
      "46424348022215eedacddee7e087de634f552532f45f4080c49fd50c3c0000cd3b7f669ea0f63fa8f4979b77e30140aa4c58e87ab6fb3fcd3b7f669ea0f63f5a006650f5aa5d40030400cd3b7f669ea0f63faa4c58e87ab6fb3f0000000000000040a8f4979b77e3014008020203009d7823dd4827de8937d28d74e29d7823a186e282",
  },
  {
    name: "tokens",
    readings: column(700, (i) => Math.clz32(Math.imul(i + 1, 0x9e3779b1))),
    bytes:
      "46424348022215eedacddee7e087f55f8c59530f204ebc0580c49fd50c3c7501001400800b010000011000120007080838c04001510665e22200ceccaa035478de626a8bd97d5e7732c8cc4d36bad975eac6ccd94cb239a7b9cccc8926b4c9a9b989d98991acb9a9b9d74c413689917319a4b94836bf499ac977436d6e483699267941a5b9499b8991ed9ba9b99ac989916b6ea9b999268e91a5b96b6a8e917cbe656e43999a91b5696b6e4c997f264c32b9b94b99eb9b4232b689c9cce39b5632acb9d74ce59b4b36429979c3b0194536ffcc79da89d94836bd894b327543e59b4636403276f5a850580825515db5b07c",
  },
  {
    name: "runs",
    readings: column(1200, (i) => scattered(Math.floor(i / 60), 1000)),
    bytes:
      "46424348022215eedacddee7e08746453344fb37e0adb00980c49fd50c3c5501fc01880ff20d9203b8ef4f01000001111408f20d0af70b00fbd6761400a2d2d8ce1f216bc79609c766395129460328d9120876000000dba955d1",
  },
  {
    name: "sparse",
    readings: column(300, (i) => (i % 60 === 7 ? 5 + i : 0)),
    bytes: "46424348022215eedacddee7e087cabe428637a2c6a7ac0280c49fd50c3c750100f80300a80a0100000c120005080e00680100690802430000685b1158799d",
  },
  {
    name: "booleans",
    readings: column(20, (i) => i % 3 === 0),
    bytes: "46424348022115eedacddee7e08745d3432d2f38fdd61480c49fd50c3c5501000202000e0802010300499204a695e71c",
  },
  {
    name: "texts that are deflated",
    readings: column(8, (i) => `{"state":"running","cycle":${i},"state":"running"}`),
    bytes:
      "46424348026315eedacddee7e087be319bc1a09373ae0880c49fd50c3c0008125e00023aab562a2e492c4955b2522a2acdcbcbcc4b57d2514aae4cce018a18e860c8d5e2516e489a7223d2941b93a6dc8434e5a6a42937234db93916e5000800410000fe53b3508f",
  },
  {
    name: "lone surrogates",
    readings: column(2, (i) => (i === 0 ? "\ud800" : "a\udc00")),
    bytes: "46424348026315eedacddee7e087e4a87e2512700c840280c49fd50c3c00020804020000080100d8610000dc080001000002f59bb36b",
  },
];

export const pinsOfVersion1: readonly Pin[] = [
  {
    name: "irregular times",
    readings: irregular,
    bytes:
      "4642434801020000030000000000000015eedacddee7e087ecfc0a20efe28a710000000000408f40000000000058ab400300000080000000000000000000f0bf00000000000004400000000000000840000000000000f83f000000000000f0bf000000000000f83f0000000000000440000000000000f0bfd00fe8078c13b3ec",
  },
  {
    name: "mixed types",
    readings: mixed,
    bytes:
      "4642434801000000050000000000000015eedacddee7e0874504edf06b76a8d1000000000000f03f0000000000001440030000008300000000000000000000000000000000001c400000000000002040000000000000f03f000000000000000003010203010000000000001c40010206c3b66666656e027a75000102000000e04cdabc",
  },
  {
    name: "widest times",
    readings: widest,
    bytes:
      "4642434801020100020000000000000015eedacddee7e087e4ed4a5e589e6517ffffffffffff3fc3ffffffffffff3f43020000007c000000000000000000f03f00000000000000400000000000000840000000000000f03f0000000000000040000000000000f03f0000000000000040ffffffffffff3f4311eabd88",
  },
];
