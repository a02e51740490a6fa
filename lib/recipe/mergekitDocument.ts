import { nearestName } from '../validate.js'
import { inputCountProblem } from './expression.js'
import { type MethodName, methodNames, methods } from './methods.js'
import type { Path, Problems } from './problems.js'

/** mergekit's name of each method. */
export const mergekitMethodName = (method: MethodName): string => methods[method].aliases?.[0] ?? method

/** One mapping of parameters and what it is for. */
export interface ParameterLayer {
  level: 'model' | 'slice' | 'merge'
  values: Readonly<Record<string, unknown>>
  path: Path
}

export interface Source {
  model: string
  parameters: ParameterLayer
  path: Path
}

/** One merge of a mergekit file whose structure is understood. */
export interface MergekitDocument {
  path: Path
  name: string | undefined
  method: MethodName
  /** Undefined for methods without a base. */
  base: string | undefined
  /** In the order of the file; for methods of two models the base_model first. */
  inputs: Source[]
  /** The slice's, then the merge's. */
  shared: ParameterLayer[]
  dtype: MergekitDtype | undefined
  outDtype: MergekitDtype | undefined
  /** Whose tokenizer and configuration the result has. */
  tokenizer: string
  /** tokenizer_source or tokenizer is given: all models must have that one. */
  asksForTokenizer: boolean
  layers: number | undefined
  /** What is left out because mergekit ignores it, too, and how values were read, in words. */
  notes: string[]
}

const dtypes = ['bfloat16', 'float16', 'float32'] as const
export type MergekitDtype = (typeof dtypes)[number]

const refusedKeys: Record<string, string> = {
  modules: 'models of several modules are not supported: merge the files of each module',
  chat_template: 'a new chat template is not written: the one of output.tokenizer is copied',
}
const knownKeys = [
  'name',
  'models',
  'slices',
  'merge_method',
  'base_model',
  'dtype',
  'out_dtype',
  'tokenizer_source',
  'tokenizer',
  'parameters',
]

/** All that mergekit reads as a parameter of one method or another. */
const parameterNames: ReadonlySet<string> = new Set([
  'int8_mask',
  ...methodNames.flatMap((method) =>
    Object.entries(methods[method].parameters).flatMap(([name, { mergekit }]) =>
      mergekit === null ? [] : [mergekit ?? name],
    ),
  ),
])

/** Whether a key means something to mergekit elsewhere: then it may be left out, and else it may be misspelt. */
export const isParameterOfMergekit = (key: string): boolean => parameterNames.has(key)

/** Methods whose two models are told apart by base_model. */
const pairMethods: readonly MethodName[] = ['fuse', 'slerp', 'nearswap']

type Mapping = Readonly<Record<string, unknown>>

/**
 * Reads one document and adds whatever in it is not supported, or is unknown to mergekit and so may be misspelt, to the problems.
 */
export function readMergekitDocument(value: unknown, path: Path, problems: Problems): MergekitDocument | undefined {
  const reader = new Reader(problems)
  const before = problems.count
  const document = reader.document(value, path)
  return problems.count === before ? document : undefined
}

class Reader {
  private readonly notes: string[] = []

  constructor(private readonly problems: Problems) {}

  document(value: unknown, path: Path): MergekitDocument | undefined {
    const document = this.mapping(value, path)
    if (!document) return undefined
    this.checkKeys(document, path, knownKeys, refusedKeys)
    const method = this.method(document.merge_method, path)
    const listed = this.sources(document, path)
    const slice = listed?.slice
    const basePath = slice?.basePath ?? [...path, 'base_model']
    const namedBase = this.modelName(slice?.base ?? document.base_model, basePath)
    const baseModel = method && listed ? this.baseOfSlice(method, listed, namedBase, basePath) : namedBase
    const tokenizer = this.tokenizer(document, path, namedBase)
    const parameters = this.parameters(document.parameters, [...path, 'parameters'], 'merge')
    if (!method || !listed) return undefined
    const roles = this.roles(method, listed.sources, baseModel, path)
    return {
      path,
      name: this.optionalText(document.name, [...path, 'name']),
      method,
      ...roles,
      shared: [...(slice ? [slice.parameters] : []), parameters],
      dtype: this.dtype(document.dtype, [...path, 'dtype']),
      outDtype: this.dtype(document.out_dtype, [...path, 'out_dtype']),
      tokenizer: tokenizer ?? baseModel ?? (listed.sources[0]?.model as string),
      asksForTokenizer: tokenizer !== undefined,
      layers: slice?.layers,
      notes: this.notes,
    }
  }

  /**
   * mergekit adds a base that is not listed to `models`, but not to the sources of a slice: there, it only gives configuration
   * and tokenizer, and methods that need a base fail.
   */
  private baseOfSlice(
    method: MethodName,
    { sources, slice }: { sources: readonly Source[]; slice?: Slice },
    base: string | undefined,
    path: Path,
  ): string | undefined {
    if (!slice || base === undefined || sources.some(({ model }) => model === base)) return base
    const name = mergekitMethodName(method)
    if (methods[method].base === 'required' || pairMethods.includes(method) || method === 'nuslerp') {
      const text = `mergekit does not add base_model to the sources of a slice, and ${name} fails without it: list ${base} there`
      this.problems.add(path, text)
      return base
    }
    this.notes.push(
      `${name}: ${base} is not merged: mergekit does not add base_model to the sources of a slice. mergekit takes ` +
        `configuration and tokenizer from it, and branchmerge from ${sources[0]?.model}`,
    )
    return undefined
  }

  private method(value: unknown, path: Path): MethodName | undefined {
    const at = [...path, 'merge_method']
    const known = methodNames.map(mergekitMethodName)
    const method = methodNames.find((name) => mergekitMethodName(name) === value)
    if (method) return method
    const near = typeof value === 'string' ? nearestName(value, known) : undefined
    const advice = near ? `did you mean ${near}?` : `supported are ${known.join(', ')}`
    this.problems.add(at, `merge_method ${JSON.stringify(value)} is not supported: ${advice}`)
    return undefined
  }

  private sources(document: Mapping, path: Path): { sources: Source[]; slice?: Slice } | undefined {
    const given = ['models', 'slices', 'modules'].filter((key) => !isAbsent(document[key]))
    if (given.length !== 1) {
      this.problems.add(path, `Expected one of models and slices but found ${given.join(' and ') || 'neither'}`)
      return undefined
    }
    if (!isAbsent(document.models)) return this.models(document.models, [...path, 'models'])
    return isAbsent(document.slices) ? undefined : this.slices(document.slices, [...path, 'slices'])
  }

  private models(value: unknown, path: Path): { sources: Source[] } | undefined {
    const list = this.list(value, path)
    const sources = list?.map((entry, i) => this.source(entry, [...path, i], ['model', 'parameters']))
    return sources && { sources: this.distinct(sources) }
  }

  private source(value: unknown, path: Path, keys: readonly string[]): Source | undefined {
    const entry = this.mapping(value, path)
    if (!entry) return undefined
    this.checkKeys(entry, path, keys)
    const model = this.modelName(entry.model, [...path, 'model'])
    if (entry.model === undefined) this.problems.add(path, 'Expected the key model')
    const parameters = this.parameters(entry.parameters, [...path, 'parameters'], 'model')
    return model === undefined ? undefined : { model, parameters, path }
  }

  private distinct(sources: readonly (Source | undefined)[]): Source[] {
    const known = sources.filter((source) => source !== undefined)
    for (const [i, { model, path }] of known.entries()) {
      if (known.findIndex((other) => other.model === model) === i) continue
      this.problems.add(path, `${model} is listed twice: mergekit takes it once`)
    }
    return known
  }

  /** One slice that is all layers of each model is the same as models. */
  private slices(value: unknown, path: Path): { sources: Source[]; slice: Slice } | undefined {
    const list = this.list(value, path)
    if (!list) return undefined
    if (list.length !== 1) {
      this.problems.add(path, `${list.length} slices are not supported: models are merged whole, layer by layer`)
      return undefined
    }
    const slicePath = [...path, 0]
    const slice = this.mapping(list[0], slicePath)
    const entries = slice && this.list(slice.sources, [...slicePath, 'sources'])
    if (!slice || !entries) return undefined
    this.checkKeys(slice, slicePath, ['sources', 'base_model', 'parameters', 'residual_weight'])
    if (!isAbsent(slice.residual_weight)) this.notes.push('residual_weight is left out: mergekit does not use it')
    const sources = entries.map((entry, i) =>
      this.source(entry, [...slicePath, 'sources', i], ['model', 'layer_range', 'parameters']),
    )
    return {
      sources: this.distinct(sources),
      slice: {
        base: slice.base_model,
        basePath: isAbsent(slice.base_model) ? undefined : [...slicePath, 'base_model'],
        parameters: this.parameters(slice.parameters, [...slicePath, 'parameters'], 'slice'),
        layers: this.layers(entries, [...slicePath, 'sources']),
      },
    }
  }

  private layers(entries: readonly unknown[], path: Path): number | undefined {
    const counts = entries.map((entry, i) => {
      const range = this.integers((entry as Mapping | null)?.layer_range)
      const whole = Array.isArray(range) && range.length === 2 && range[0] === 0 && Number.isInteger(range[1])
      if (whole && range[1] > 0) return range[1] as number
      const text = `layer_range ${JSON.stringify(range)} is not supported: it must be all layers, [0, n]`
      this.problems.add([...path, i, 'layer_range'], text)
      return undefined
    })
    if (new Set(counts).size > 1 && counts.every((count) => count !== undefined)) {
      this.problems.add(path, `layer_range must be the same for all models but is [0, ${counts.join('] and [0, ')}]`)
    }
    return counts[0]
  }

  /** Pydantic, and so mergekit, reads a quoted number as one. */
  private integers(value: unknown): unknown {
    if (!Array.isArray(value)) return value
    return value.map((item) => {
      if (typeof item !== 'string' || !/^\d+$/.test(item)) return item
      this.notes.push(`layer_range: the text ${JSON.stringify(item)} is read as a number`)
      return Number(item)
    })
  }

  private roles(
    method: MethodName,
    sources: readonly Source[],
    baseModel: string | undefined,
    path: Path,
  ): Pick<MergekitDocument, 'base' | 'inputs'> {
    const needs = methods[method].base
    const pair = pairMethods.includes(method)
    const others = sources.filter(({ model }) => model !== baseModel)
    const listedBase = sources.find(({ model }) => model === baseModel)
    if (baseModel === undefined && (pair || needs === 'required')) {
      this.problems.add(path, `Expected the key base_model for ${mergekitMethodName(method)}`)
    }
    // A base outside of a slice is undefined here.
    if (baseModel !== undefined && needs === 'none' && !pair && !listedBase) {
      const text = `mergekit adds base_model to the models of ${method}: list it among them, or remove it`
      this.problems.add([...path, 'base_model'], text)
    }
    const baseIsApart = needs !== 'none'
    if (baseIsApart && listedBase) this.ignoredOfBase(listedBase)
    const withoutParameters = (model: string): Source => ({
      model,
      parameters: { level: 'model', values: {}, path },
      path,
    })
    const left = pair && baseModel !== undefined ? [listedBase ?? withoutParameters(baseModel)] : []
    const inputs = pair || baseIsApart ? [...left, ...others] : [...sources]
    const countProblem = inputCountProblem(method, inputs.length)
    if (countProblem && (baseModel !== undefined || !pair)) {
      this.problems.add(path, `${countProblem} (${inputs.map(({ model }) => model).join(', ')})`)
    }
    return { base: baseIsApart ? baseModel : undefined, inputs }
  }

  private ignoredOfBase({ model, parameters }: Source): void {
    for (const key of Object.keys(parameters.values)) {
      if (isParameterOfMergekit(key)) this.notes.push(`${key} of ${model} is left out: mergekit ignores it of the base`)
      else this.problems.add([...parameters.path, key], unknownKey(key, [...parameterNames]), { key: true })
    }
  }

  /** Whose tokenizer is asked for, undefined when nothing is said. */
  private tokenizer(document: Mapping, path: Path, baseModel: string | undefined): string | undefined {
    if (document.tokenizer !== undefined && document.tokenizer_source !== undefined) {
      this.problems.add([...path, 'tokenizer'], 'Expected either tokenizer or tokenizer_source', { key: true })
    }
    if (document.tokenizer_source !== undefined && document.tokenizer_source !== null) {
      return this.tokenizerSource(document.tokenizer_source, [...path, 'tokenizer_source'], baseModel)
    }
    if (document.tokenizer === undefined || document.tokenizer === null) return undefined
    const at = [...path, 'tokenizer']
    const tokenizer = this.mapping(document.tokenizer, at)
    if (!tokenizer) return undefined
    this.checkKeys(tokenizer, at, ['source'], {
      tokens: 'embeddings of single tokens are not supported: all models must have one tokenizer',
      pad_to_multiple_of: 'vocabularies are not padded',
    })
    return this.tokenizerSource(tokenizer.source ?? 'union', [...at, 'source'], baseModel)
  }

  private tokenizerSource(source: unknown, at: Path, baseModel: string | undefined): string | undefined {
    if (source === 'union') {
      this.problems.add(at, 'the union of tokenizers is not supported: all models must have one tokenizer')
      return undefined
    }
    if (source !== 'base') return this.modelName(source, at)
    if (baseModel === undefined) this.problems.add(at, 'Expected the key base_model for the tokenizer of base')
    return baseModel
  }

  /** A model that is one checkpoint: no adapter, no revision. */
  private modelName(value: unknown, path: Path): string | undefined {
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'string' || value === '') {
      const text = 'Expected the path of a model: adapters and other architectures are not supported'
      this.problems.add(path, text)
      return undefined
    }
    if (value.includes('+')) {
      this.problems.add(path, `${value} adds an adapter, which is not supported: merge it into its base first`)
    } else if (value.includes('@')) {
      this.problems.add(path, `${value} names a revision, which is not supported: download it and name its directory`)
    }
    return value
  }

  private dtype(value: unknown, path: Path): MergekitDtype | undefined {
    if (value === undefined || value === null) return undefined
    const dtype = dtypes.find((name) => name === value || `torch.${name}` === value)
    if (dtype && dtype !== value) this.notes.push(`${value} is read as ${dtype}`)
    if (!dtype)
      this.problems.add(path, `${JSON.stringify(value)} is not supported: expected one of ${dtypes.join(', ')}`)
    return dtype
  }

  private parameters(value: unknown, path: Path, level: ParameterLayer['level']): ParameterLayer {
    const values = value === undefined || value === null ? {} : (this.mapping(value, path) ?? {})
    return { level, values, path }
  }

  private optionalText(value: unknown, path: Path): string | undefined {
    if (value === undefined || typeof value === 'string') return value
    this.problems.add(path, `Expected a name but received ${JSON.stringify(value)}`)
    return undefined
  }

  private mapping(value: unknown, path: Path): Mapping | undefined {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Mapping
    this.problems.add(path, 'Expected keys with values')
    return undefined
  }

  private list(value: unknown, path: Path): readonly unknown[] | undefined {
    if (Array.isArray(value) && value.length > 0) return value
    this.problems.add(path, 'Expected a list that is not empty')
    return undefined
  }

  private checkKeys(
    mapping: Mapping,
    path: Path,
    known: readonly string[],
    refused: Readonly<Record<string, string>> = {},
  ): void {
    for (const [key, value] of Object.entries(mapping)) {
      if (known.includes(key) || (Object.hasOwn(refused, key) && value === null)) continue
      if (!Object.hasOwn(refused, key) && isParameterOfMergekit(key)) {
        this.notes.push(`${key} is left out: mergekit reads it among parameters only`)
        continue
      }
      const text = Object.hasOwn(refused, key) ? `${key}: ${refused[key]}` : unknownKey(key, known)
      this.problems.add([...path, key], text, { key: true })
    }
  }
}

/** A key that changes nothing, and was surely meant to. */
export function unknownKey(key: string, known: readonly string[]): string {
  const near = nearestName(key, known)
  return `mergekit ignores the unknown key ${key}: remove it${near ? `, or is it ${near}?` : ''}`
}

const isAbsent = (value: unknown): value is undefined | null => value === undefined || value === null

interface Slice {
  base: unknown
  basePath: Path | undefined
  parameters: ParameterLayer
  layers: number | undefined
}
