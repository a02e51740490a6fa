import { resolve } from 'node:path'
import type { NativeMergePlan } from '../../native/native.js'
import { fileMetadata } from '../output/manifestText.js'
import type { MergePlan } from '../plan/mergePlan.js'
import type { PlannedTensor } from '../plan/planOutput.js'

/** Where the unfinished file lies that will be called `name`. */
export interface TemporaryPlaces {
  temporaryPath(name: string): string
}

/** The plan as the native side takes it. */
export function nativePlan(
  plan: MergePlan,
  instructionSet: string | undefined,
  output: TemporaryPlaces,
): NativeMergePlan {
  const { models, files, programs, programOf, recipe, run, memoryLimit } = plan
  const inputs = models.flatMap(({ checkpoint }) => checkpoint.files.map(({ path, bytes }) => ({ path, bytes })))
  const firstInputs: number[] = []
  models.reduce((first, { checkpoint }) => {
    firstInputs.push(first)
    return first + checkpoint.files.length
  }, 0)
  const metadata = fileMetadata(plan)
  return {
    inputs,
    outputs: files.map(({ name }) => ({ path: output.temporaryPath(name), metadata, written: 0 })),
    tensors: files.flatMap((file, i) =>
      file.tensors.map((tensor) => ({
        name: tensor.name,
        dtype: tensor.dtype,
        outputDtype: tensor.outputDtype,
        shape: mergedShape(tensor),
        models: tensor.models.map(({ file, begin, end, dtype }, model) => ({
          input: (firstInputs[model] as number) + file,
          begin,
          end,
          dtype,
        })),
        program: programOf.get(tensor.name) as number,
        output: i,
        tail: tensor.copied,
        floatIntermediates: recipe.intermediate === 'float32',
        done: false,
      })),
    ),
    programs,
    memory: memoryLimit,
    threads: run.threads,
    instructionSet,
    device: run.device,
  }
}

/** Without the rows of one model alone. */
const mergedShape = ({ shape, copied }: PlannedTensor): number[] =>
  copied ? shape.with(0, (shape[0] as number) - copied.rows) : shape

/**
 * One plan for the outputs of all plans, one after the other, whose tensors come in `order`: those of one name follow upon each
 * other, so that what they have in common of the inputs is read once. What is not of inputs and outputs is the first plan's.
 */
export function interleavePlans(plans: readonly NativeMergePlan[], order: readonly string[]): NativeMergePlan {
  const [first, ...others] = plans as [NativeMergePlan, ...NativeMergePlan[]]
  if (others.length === 0) return first
  const inputs = new InputList()
  const [outputs, programs] = [plans.map((plan) => plan.outputs), plans.map((plan) => plan.programs)]
  const tensors = plans.map((plan, i) => {
    const input = plan.inputs.map((each) => inputs.place(each))
    const [firstOutput, firstProgram] = [countBefore(outputs, i), countBefore(programs, i)]
    const moved = plan.tensors.map((tensor) => ({
      ...tensor,
      models: tensor.models.map((range) => ({ ...range, input: input[range.input] as number })),
      output: firstOutput + tensor.output,
      program: firstProgram + tensor.program,
    }))
    return new Map(moved.map((tensor) => [tensor.name, tensor]))
  })
  return {
    ...first,
    inputs: inputs.all,
    outputs: outputs.flat(),
    programs: programs.flat(),
    tensors: order.flatMap((name) => tensors.flatMap((named) => named.get(name) ?? [])),
  }
}

const countBefore = (lists: readonly (readonly unknown[])[], end: number): number =>
  lists.slice(0, end).reduce((count, list) => count + list.length, 0)

/** Input files, each once. */
class InputList {
  readonly all: NativeMergePlan['inputs'] = []
  private readonly places = new Map<string, number>()

  place(input: NativeMergePlan['inputs'][number]): number {
    const path = resolve(input.path)
    const known = this.places.get(path)
    if (known !== undefined) return known
    this.places.set(path, this.all.length)
    return this.all.push(input) - 1
  }
}
