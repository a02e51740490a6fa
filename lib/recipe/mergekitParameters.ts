import { type MergekitDocument, mergekitMethodName, type ParameterLayer } from './mergekitDocument.js'
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

/** Converts the parameters of a document and adds those that are wrong or that mergekit would ignore to the problems. */
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
    for (const key of Object.keys(values)) {
      const [, parameter] = parameterOfMergekit(method, key) ?? []
      const name = mergekitMethodName(method)
      let problem: string | undefined
      if (!parameter) problem = this.unknown(key, level)
      else if (level === 'model' && !parameter.perInput) {
        problem = `mergekit ignores ${key} of one model, it is a parameter of the whole ${name}: move it or remove it`
      }
      if (problem) this.problems.add([...path, key], problem, { key: true })
    }
  }

  private unknown(key: string, level: ParameterLayer['level']): string | undefined {
    const { method } = this.document
    if (key === 'int8_mask' && level !== 'model' && readsInt8Mask(method)) {
      this.notes.push('int8_mask is left out: it is how mergekit stores masks and changes no result')
      return undefined
    }
    const name = mergekitMethodName(method)
    if (method === 'task_arithmetic' && (key === 'density' || key === 'rescale')) {
      return `mergekit reads ${key} but task_arithmetic keeps every difference, so it changes nothing: remove it`
    }
    return `mergekit ignores ${key} for ${name}: remove it`
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
      const part = this.setting(name, parameter, values[key], [...path, key])
      filters.push(...part.filters)
      if (part.otherwise !== undefined) return { filters, otherwise: part.otherwise }
    }
    return { filters, otherwise: undefined }
  }

  private setting(name: string, parameter: Parameter, value: unknown, path: Path): Conditional {
    if (!Array.isArray(value) || value.every((item) => typeof item === 'number')) {
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
        if (i < value.length - 1) this.problems.add([...path, i + 1], 'mergekit never comes to this value: remove it')
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

  /** A value or a list of numbers (a gradient over the layers) in our form; undefined, with a problem, when it is wrong. */
  private value(name: string, parameter: Parameter, value: unknown, path: Path): Setting | undefined {
    let setting = value
    if (Array.isArray(value)) setting = value.length === 1 ? value[0] : { gradient: value }
    // mergekit asks of a switch only whether it is zero.
    if (parameter.type === 'boolean' && (value === 0 || value === 1)) setting = value === 1
    const problem = settingProblem(name, parameter, setting, 1)
    if (!problem) return setting as Setting
    this.problems.add(path, problem)
    return undefined
  }
}

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
