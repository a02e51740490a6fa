import type { NativeStep } from '../../native/native.js'
import type { TensorBinding, TensorParameters } from '../../recipe/bindTensors.js'
import { type MergeNode, operands, type RecipeNode, type ResolvedRecipe } from '../../recipe/resolvedRecipe.js'

export interface Programs {
  /** Distinct ones. */
  programs: NativeStep[][]
  /** Position of each tensor's program. */
  programOf: Map<string, number>
}

/** The merges of a recipe as the native side's steps, one program for all tensors that get the same options. */
export function planPrograms(recipe: ResolvedRecipe, binding: TensorBinding, tensors: readonly string[]): Programs {
  const models = new Map(recipe.models.map(({ name }, i) => [name, i]))
  const steps = new Map(recipe.merges.map((merge, i) => [merge as RecipeNode, i]))
  const operand = (node: RecipeNode) =>
    node.kind === 'model' ? { model: models.get(node.name) as number } : { step: steps.get(node) as number }
  const step = (merge: MergeNode, tensor: string): NativeStep => {
    const taken = operands(merge).map(operand)
    return merge.method === 'fuse'
      ? { method: 'fuse', operands: taken, fusion: binding.fusionOptionsFor(merge, tensor) }
      : { method: merge.method, operands: taken, parameters: numbers(binding.parametersFor(merge, tensor)) }
  }
  const programs: NativeStep[][] = []
  const known = new Map<string, number>()
  const programOf = new Map<string, number>()
  for (const tensor of tensors) {
    const program = recipe.merges.map((merge) => step(merge, tensor))
    const text = JSON.stringify(program)
    const position = known.get(text) ?? programs.push(program) - 1
    known.set(text, position)
    programOf.set(tensor, position)
  }
  return { programs, programOf }
}

/** Parameters as the native side takes them: lists of numbers, 1 for true. */
function numbers(parameters: TensorParameters): Record<string, number[]> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [name, Array.isArray(value) ? value : [Number(value)]]),
  )
}
