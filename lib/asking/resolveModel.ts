import { checkEngineSpec, type EngineSpec, parseEngineSpec } from '../engines/open/engineSpec.js'
import { placeFromFile } from '../hub/hubName.js'
import { pathFromFile } from '../pathFromFile.js'
import type { Price } from './budget.js'

/** A directory, a URL (`http://host:8000/v1#served-name`), or an engine with options. */
export type GivenModel = string | (EngineSpec & { price?: Price | undefined })

export interface ResolvedModel {
  name: string
  /** As the user named it, without what is secret. */
  place: string
  spec: EngineSpec
  price: Price | undefined
}

const pathKeys = ['path', 'tokenizer', 'cache', 'log'] as const

/** A model as a user names it, with paths from a directory. @throws ERR_INVALID_ARGUMENT */
export function resolveModel(name: string, given: GivenModel, directory: string): ResolvedModel {
  if (typeof given === 'string') {
    const spec = fromFile(parseEngineSpec(given), directory)
    return { name, place: placeOf(spec), spec, price: undefined }
  }
  const { price, ...rest } = given
  const spec = checkEngineSpec(fromFile(rest, directory))
  return { name, place: placeOf(spec), spec, price }
}

function fromFile<T extends object>(spec: T, directory: string): T {
  const paths = pathKeys.flatMap((key) => {
    const path = (spec as Record<string, unknown>)[key]
    if (typeof path !== 'string') return []
    const isModel = key === 'path' || key === 'tokenizer'
    return [[key, isModel ? placeFromFile(path, directory, 'model') : pathFromFile(path, directory)] as const]
  })
  return { ...spec, ...Object.fromEntries(paths) }
}

/** URLs without user, password and query, which may be secret. */
function placeOf(spec: EngineSpec): string {
  if (!('urls' in spec)) return spec.path
  return spec.urls.map((text) => `${new URL(text).origin}${new URL(text).pathname}`).join(',')
}
