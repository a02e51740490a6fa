import {
  isParameterOfMergekit,
  type MergekitDocument,
  mergekitMethodName,
  type ParameterLayer,
  unknownKey,
} from './mergekitDocument.js'
import { type MethodName, methods, type Parameter } from './methods.js'
import type { Path, Problems } from './problems.js'
import type { RecipeOptions, RecipeRule } from './recipe.js'
import { type InputSetting, type Setting, settingProblem } from './setting.js'

/** What a document says about parameters: options of its step, and rules where it has filters. */
export interface ConvertedParameters {
  options: RecipeOptions
  rules: RecipeRule[]
  notes: string[]
}

/** A parameter for one input: where a filter matches, and elsewhere. The first filter that matches wins. */
interface Conditional {
  filters: { match: string; value: Setting }[]
  otherwise: Setting | undefined
}

/** mergekit demands it of every model. */
const demanded = 'weight'

/**
 * Converts the parameters of a document. Those that are wrong are added to the problems, and those that mergekit ignores are left
 * out with a note.
 */
export function convertParameters(document: MergekitDocument, problems: Problems): ConvertedParameters {
  const converter = new Converter(document, problems)
  converter.checkNames()
  for (const [name, parameter] of Object.entries(methods[document.method].parameters)) {
    if (parameter.mergekit === null) continue
    if (parameter.perInput) converter.perInput(name, parameter)
    else converter.shared(name, parameter)
  }
  return converter
}

class Converter implements ConvertedParameters {
  readonly options: RecipeOptions = {}
  readonly rules: RecipeRule[] = []
  readonly notes: string[] = []

  constructor(
    private readonly document: MergekitDocument,
    private readonly problems: Problems,
  ) {}

  checkNames(): void {
    for (const { parameters } of this.document.inputs) this.checkLayer(parameters)
    for (const layer of this.document.shared) this.checkLayer(layer)
  }

  private checkLayer({ level, values, path }: ParameterLayer): void {
    const { method } = this.document
    const name = mergekitMethodName(method)
    for (const key of Object.keys(values)) {
      const [, parameter] = parameterOfMergekit(method, key) ?? []
      if (parameter && level === 'model' && !parameter.perInput) {
        this.notes.push(`${key} of one model is left out: mergekit ignores it, as ${key} is of the whole ${name}`)
      } else if (!parameter && isParameterOfMergekit(key)) this.notes.push(this.ignored(key, level))
      else if (!parameter) this.problems.add([...path, key], unknownKey(key, knownTo(method)), { key: true })
    }
  }

  /** Why a parameter of mergekit changes nothing here. */
  private ignored(key: string, level: ParameterLayer['level']): string {
    const { method } = this.document
    if (key === 'int8_mask' && level !== 'model' && readsInt8Mask(method)) {
      return 'int8_mask is left out: it is how mergekit stores masks and changes no result'
    }
    if (method === 'task_arithmetic' && (key === 'density' || key === 'rescale')) {
      return `${key} is left out: task_arithmetic keeps every difference, so it changes nothing in mergekit either`
    }
    return `${key} is left out: mergekit ignores it for ${mergekitMethodName(method)}`
  }

  shared(name: string, parameter: Parameter): void {
    const key = parameter.mergekit ?? name
    const conditional = this.conditional(name, parameter, key, this.document.shared)
    for (const { match, value } of conditional.filters) this.rules.push(this.rule(match, name, value))
    if (conditional.otherwise !== undefined) this.options[name] = conditional.otherwise
    else if (parameter.default === undefined) this.missing(key)
  }

  perInput(name: string, parameter: Parameter): void {
    const key = parameter.mergekit ?? name
    const { inputs, shared } = this.document
    const all = inputs.map(({ parameters }) => this.conditional(name, parameter, key, [parameters, ...shared]))
    if (key === demanded && all.some(({ otherwise }) => otherwise === undefined)) this.missing(key)
    const [first] = all
    if (first && all.every((conditional) => sameJson(conditional, first))) {
      for (const { match, value } of first.filters) this.rules.push(this.rule(match, name, value))
      if (first.otherwise !== undefined) this.options[name] = first.otherwise
      return
    }
    for (const [i, { filters }] of all.entries()) {
      for (const { match, value } of filters) {
        const list = inputs.map((_, j) => (j === i ? (value as InputSetting) : null))
        this.rules.push(this.rule(match, name, list))
      }
    }
    const values = all.map(({ otherwise }) => (otherwise ?? parameter.default) as InputSetting)
    this.options[name] = values.every((value) => sameJson(value, values[0])) ? (values[0] as InputSetting) : values
  }

  private missing(key: string): void {
    this.problems.add(
      this.document.path,
      `mergekit demands ${key} for ${mergekitMethodName(this.document.method)}: of every model, and without a filter at the end`,
    )
  }

  private rule(match: string, name: string, value: Setting): RecipeRule {
    return { match, options: { [name]: value } }
  }

  /** What several layers say of a parameter, the strongest first; a filter that does not match falls through to the next. */
  private conditional(name: string, parameter: Parameter, key: string, layers: readonly ParameterLayer[]): Conditional {
    const filters: Conditional['filters'] = []
    for (const { values, path } of layers) {
      if (!Object.hasOwn(values, key)) continue
      const part = this.setting(name, parameter, values[key], { key, path: [...path, key] })
      filters.push(...part.filters)
      if (part.otherwise !== undefined) return { filters, otherwise: part.otherwise }
    }
    return { filters, otherwise: undefined }
  }

  private setting(
    name: string,
    parameter: Parameter,
    value: unknown,
    { key, path }: { key: string; path: Path },
  ): Conditional {
    if (!Array.isArray(value) || value.every((item) => typeof item === 'number' || numberOf(item) !== undefined)) {
      return { filters: [], otherwise: this.value(name, parameter, value, path) }
    }
    const filters: Conditional['filters'] = []
    for (const [i, entry] of value.entries()) {
      const at = [...path, i]
      const condition = this.condition(entry, at)
      if (!condition) continue
      const setting = this.value(name, parameter, condition.value, [...at, 'value'])
      if (setting === undefined) continue
      if (condition.filter !== undefined) filters.push({ match: `*${condition.filter}*`, value: setting })
      else {
        if (i < value.length - 1) this.notes.push(`${key}: what is behind a value without a filter is left out`)
        return { filters, otherwise: setting }
      }
    }
    return { filters, otherwise: undefined }
  }

  private condition(entry: unknown, path: Path): { filter: string | undefined; value: unknown } | undefined {
    const isCondition = typeof entry === 'object' && entry !== null && !Array.isArray(entry) && 'value' in entry
    if (!isCondition) {
      this.problems.add(path, 'Expected numbers, or entries with value and filter')
      return undefined
    }
    const { value, filter, ...others } = entry as Record<string, unknown>
    for (const key of Object.keys(others)) {
      this.problems.add([...path, key], `mergekit ignores ${key} beside value and filter: remove it`, { key: true })
    }
    if (filter === undefined || filter === null || filter === '*') return { filter: undefined, value }
    if (typeof filter === 'string' && filter !== '' && !/[*?]/.test(filter)) return { filter, value }
    const text = `filter ${JSON.stringify(filter)} is not supported: mergekit takes * and ? literally, so it matches nothing`
    this.problems.add([...path, 'filter'], text)
    return undefined
  }

  /** A text as the number or switch that mergekit makes of it; a number as a switch: mergekit asks only whether it is zero. */
  private unquoted(name: string, { type }: Parameter, value: unknown): unknown {
    const read = type === 'boolean' ? switchOf(value) : numberOf(value)
    if (read === undefined) return value
    if (typeof value === 'string') this.notes.push(`${name}: the text ${JSON.stringify(value)} is read as ${read}`)
    return read
  }

  /** A value or a list of numbers (a gradient over the layers) in our form; undefined, with a problem, when it is wrong. */
  private value(name: string, parameter: Parameter, value: unknown, path: Path): Setting | undefined {
    let setting = value
    if (Array.isArray(value)) {
      const values = value.map((item) => this.unquoted(name, parameter, item))
      setting = values.length === 1 ? values[0] : { gradient: values }
    } else setting = this.unquoted(name, parameter, value)
    const problem = settingProblem(name, parameter, setting, 1)
    if (!problem) return setting as Setting
    this.problems.add(path, problem)
    return undefined
  }
}

/** What a text says as a number, as Python reads one; undefined for other texts and values. */
function numberOf(value: unknown): number | undefined {
  return typeof value === 'string' && /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(value)
    ? Number(value)
    : undefined
}

/** YAML 1.1, which mergekit reads, has more words for true and false than YAML 1.2. */
function switchOf(value: unknown): boolean | undefined {
  const word = typeof value === 'string' ? value.trim().toLowerCase() : value
  if (word === 1 || ['true', 'yes', 'on', '1'].includes(word as string)) return true
  return word === 0 || ['false', 'no', 'off', '0'].includes(word as string) ? false : undefined
}

const knownTo = (method: MethodName): string[] =>
  Object.entries(methods[method].parameters).flatMap(([name, { mergekit }]) =>
    mergekit === null ? [] : [mergekit ?? name],
  )

function parameterOfMergekit(method: MethodName, key: string): [name: string, parameter: Parameter] | undefined {
  return Object.entries(methods[method].parameters).find(
    ([name, { mergekit }]) => mergekit !== null && (mergekit ?? name) === key,
  )
}

/** Methods of differences with sign election or thinning, in mergekit's own list of their parameters. */
function readsInt8Mask(method: MethodName): boolean {
  return (
    method === 'sce' || (methods[method].base === 'required' && Object.hasOwn(methods[method].parameters, 'lambda'))
  )
}

const sameJson = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
