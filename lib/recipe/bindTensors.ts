import type { NativeFusionOptions } from '../native/native.js'
import { methods } from './methods.js'
import { withSettings } from './parameters.js'
import type { MergeNode, NodeParameters, ResolvedRecipe, ResolvedRule } from './resolvedRecipe.js'
import { valueAt } from './setting.js'
import { matchesPattern } from './tensorPattern.js'

/** Values of one merge for one tensor; parameters that each input has its own of are arrays. */
export type TensorParameters = Record<string, number | boolean | string | number[]>

/** A recipe with the tensors it is applied to. */
export interface TensorBinding {
  /** What is wrong, each with its place: rules that match nothing, values that do not fit together. */
  problems: string[]
  /** The parameters of a merge for a tensor, gradients and rules applied. */
  parametersFor(node: MergeNode, tensor: string): TensorParameters
  /** The same for a node whose method is fuse, as the native side takes them. */
  fusionOptionsFor(node: MergeNode, tensor: string): NativeFusionOptions
}

/** Applies a recipe's rules and gradients to the names of the tensors that are merged. Never throws for a wrong rule. */
export function bindTensors(recipe: ResolvedRecipe, tensors: readonly string[]): TensorBinding {
  const stacks = layerCounts(tensors)
  const rulesOf = new Map(tensors.map((tensor) => [tensor, recipe.rules.filter((rule) => matches(rule, tensor))]))
  const settle = (node: MergeNode, tensor: string): NodeParameters => {
    const rules = rulesOf.get(tensor) ?? recipe.rules.filter((rule) => matches(rule, tensor))
    // The first rule is the strongest, so it is laid on last.
    return rules
      .filter(({ step }) => step === undefined || step === node.step)
      .reduceRight((below, { options }) => withSettings(node, below, options), node.parameters)
  }
  const parametersFor = (node: MergeNode, tensor: string): TensorParameters =>
    atPlace(settle(node, tensor), placeOf(tensor, stacks))
  return {
    problems: [
      ...ruleProblems(recipe.rules, rulesOf, stacks),
      ...valueProblems(recipe.merges, tensors, settle, parametersFor),
    ],
    parametersFor,
    fusionOptionsFor(node, tensor) {
      const { preset: _, ...options } = parametersFor(node, tensor)
      return options as unknown as NativeFusionOptions
    },
  }
}

interface Layer {
  /** What stands before the number: 'model.layers'. */
  stack: string
  index: number
}

/** The layer that a tensor belongs to: the first number behind a word for layers. */
export function layerOf(tensor: string): Layer | undefined {
  const match = /^((?:.*?\.)??(?:layers|layer|blocks|block|h))\.(\d+)\./.exec(tensor)
  return match ? { stack: match[1] as string, index: Number(match[2]) } : undefined
}

function layerCounts(tensors: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const tensor of tensors) {
    const layer = layerOf(tensor)
    if (layer) counts.set(layer.stack, Math.max(counts.get(layer.stack) ?? 0, layer.index + 1))
  }
  return counts
}

/** From 0 for the first layer to 1 for the last; tensors outside of layers count as the first, as in mergekit. */
function placeOf(tensor: string, stacks: Map<string, number>): number {
  const layer = layerOf(tensor)
  if (!layer) return 0
  const count = stacks.get(layer.stack) ?? 0
  return count > 1 ? Math.min(1, layer.index / (count - 1)) : 1
}

function matches({ match, layers }: ResolvedRule, tensor: string): boolean {
  if (match && !match.some((pattern) => matchesPattern(pattern, tensor))) return false
  if (!layers) return true
  const layer = layerOf(tensor)
  return layer !== undefined && layer.index >= layers[0] && layer.index < layers[1]
}

function atPlace(parameters: NodeParameters, place: number): TensorParameters {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map((item) => valueAt(item ?? Number.NaN, place)) : valueAt(value, place),
    ]),
  )
}

function ruleProblems(
  rules: readonly ResolvedRule[],
  rulesOf: ReadonlyMap<string, readonly ResolvedRule[]>,
  stacks: ReadonlyMap<string, number>,
): string[] {
  const matched = new Set([...rulesOf.values()].flat())
  const names = [...rulesOf.keys()]
  return rules.flatMap((rule) => {
    const { where, match, layers } = rule
    const idle = (match ?? []).filter((pattern) => !names.some((name) => matchesPattern(pattern, name)))
    const problems = [
      ...idle.map((pattern) => `${where}: Expected a pattern that matches a tensor but "${pattern}" matches none`),
      ...layersProblem(where, layers, stacks),
    ]
    if (problems.length > 0 || matched.has(rule)) return problems
    return [`${where}: Expected a rule that matches a tensor but none has both this name and this layer`]
  })
}

function layersProblem(
  where: string,
  layers: readonly [number, number] | undefined,
  stacks: ReadonlyMap<string, number>,
): string[] {
  const count = Math.max(0, ...stacks.values())
  if (!layers || layers[1] <= count) return []
  return [`${where}: Expected layers within [0, ${count}] but received [${layers.join(', ')}]`]
}

/** Each problem once for each merge, with the first tensor that has it. */
function valueProblems(
  merges: readonly MergeNode[],
  tensors: readonly string[],
  settle: (node: MergeNode, tensor: string) => NodeParameters,
  parametersFor: (node: MergeNode, tensor: string) => TensorParameters,
): string[] {
  const problems = new Map<string, { tensor: string; count: number }>()
  for (const node of merges) {
    for (const tensor of tensors) {
      const missing = missingParameter(node, settle(node, tensor))
      const problem = missing
        ? `Expected ${missing} for ${node.method}`
        : methods[node.method].conflict?.(parametersFor(node, tensor))
      if (problem === undefined) continue
      const key = `${node.id}: ${problem}`
      const seen = problems.get(key)
      if (seen) seen.count++
      else problems.set(key, { tensor, count: 1 })
    }
  }
  return [...problems].map(([problem, { tensor, count }]) => {
    const others = count > 1 ? ` and ${count - 1} more` : ''
    return `${problem}, for "${tensor}"${others}`
  })
}

/** A parameter of the method that has no value yet. */
export function missingParameter(node: MergeNode, parameters: NodeParameters): string | undefined {
  return Object.keys(methods[node.method].parameters).find((name) => {
    const value = parameters[name]
    return value === undefined || (Array.isArray(value) && value.includes(null))
  })
}
