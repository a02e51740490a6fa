/** Element types of the safetensors format with their bits, in its own order (ascending alignment). */
const bits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const

/** A dtype by the name that safetensors has for it. */
export type Dtype = keyof typeof bits
const order = Object.keys(bits) as Dtype[]

/** What fusion computes with. */
export const floatDtypes = ['BF16', 'F16', 'F32', 'F64'] as const
/** A dtype that merges compute with. */
export type FloatDtype = (typeof floatDtypes)[number]

const integerDtypes: readonly string[] = ['BOOL', 'U8', 'I8', 'I16', 'U16', 'I32', 'U32', 'I64', 'U64']

export const isDtype = (name: unknown): name is Dtype => typeof name === 'string' && Object.hasOwn(bits, name)
export const isFloat = (dtype: string): dtype is FloatDtype => (floatDtypes as readonly string[]).includes(dtype)
/** Integers and booleans: copied when both sides are equal. */
export const isInteger = (dtype: string): boolean => integerDtypes.includes(dtype)
export const dtypeBytes = (dtype: Dtype): number => bits[dtype] / 8
/** Position in the format's own order; the reference writer puts the largest first. */
export const alignmentRank = (dtype: string): number => order.indexOf(dtype as Dtype)

const torchNames: Record<FloatDtype, string> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32', F64: 'float64' }

/** How PyTorch and config.json call a dtype: 'bfloat16'. */
export const torchName = (dtype: FloatDtype): string => torchNames[dtype]

/** 'BF16' or 'bfloat16', in any case, as the format's name; undefined for anything else. */
export function floatDtypeFromName(name: string): FloatDtype | undefined {
  return floatDtypes.find((dtype) => name.toUpperCase() === dtype || name.toLowerCase() === torchNames[dtype])
}

/** A dtype by the format's name or PyTorch's. */
export type DtypeName = 'BF16' | 'F16' | 'F32' | 'F64' | 'bfloat16' | 'float16' | 'float32' | 'float64'
