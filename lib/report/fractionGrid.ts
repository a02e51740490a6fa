import { type WeightKind, weightKind, weightKinds } from '../checkpoint/weightKind.js'
import { layerOf } from '../recipe/bindTensors.js'

/** What a heat map is drawn from: of every fusion, every tensor. */
export interface ReportInput {
  steps: ReportStep[]
  /** Merges by other methods, a line of text for each. */
  notDrawn: string[]
}

export interface ReportStep {
  name: string
  tensors: ReportTensor[]
}

export interface ReportTensor {
  name: string
  shape: number[]
  elements: number
  /** Elements taken from Right. */
  kept: number
  /** The threshold is 0 although the tensor changed. */
  degenerate: boolean
  /** Both sides hold the same bits: what was "taken" means nothing, and does not count in a fraction. */
  identical: boolean
  /** The side that was kept whole because of NaN or infinity. */
  nonFinite?: 'left' | 'right'
}

/** Tensors that are shown as one number. */
export interface Cell {
  tensors: ReportTensor[]
  /** Of the tensors that differ between the sides. */
  elements: number
  /** Of the same, taken from Right. */
  kept: number
  /** kept / elements; undefined where no tensor differs. */
  fraction: number | undefined
  /** How many tensors are. */
  degenerate: number
  identical: number
  nonFinite: number
}

export interface KindCell extends Cell {
  kind: WeightKind
}

/** One stack of layers, as 'model.layers'. */
export interface Grid {
  stack: string
  /** The layers' numbers, ascending. */
  layers: number[]
  /** In the order of {@link weightKinds}; `cells` has one place for each layer, undefined where there is no such tensor. */
  rows: { kind: WeightKind; cells: (Cell | undefined)[]; total: Cell }[]
}

export interface StepGrids {
  name: string
  total: Cell
  grids: Grid[]
  /** Tensors outside of layers, one cell for each kind. */
  outside: KindCell[]
}

/** Sorts a step's tensors by stack, kind and layer. */
export function stepGrids({ name, tensors }: ReportStep): StepGrids {
  const stacks = new Map<string, ReportTensor[]>()
  const outside: ReportTensor[] = []
  for (const tensor of tensors) {
    const layer = layerOf(tensor.name)
    if (layer) append(stacks, layer.stack, tensor)
    else outside.push(tensor)
  }
  return {
    name,
    total: cellOf(tensors),
    grids: [...stacks].map(([stack, members]) => gridOf(stack, members)),
    outside: byKind(outside).map(([kind, members]) => ({ kind, ...cellOf(members) })),
  }
}

function gridOf(stack: string, tensors: ReportTensor[]): Grid {
  const layers = [...new Set(tensors.map(layerNumber))].sort((a, b) => a - b)
  return { stack, layers, rows: byKind(tensors).map(([kind, members]) => rowOf(kind, members, layers)) }
}

function rowOf(kind: WeightKind, tensors: ReportTensor[], layers: number[]): Grid['rows'][number] {
  const byLayer = new Map<number, ReportTensor[]>()
  for (const tensor of tensors) append(byLayer, layerNumber(tensor), tensor)
  const cells = layers.map((layer) => {
    const members = byLayer.get(layer)
    return members && cellOf(members)
  })
  return { kind, cells, total: cellOf(tensors) }
}

const layerNumber = ({ name }: ReportTensor): number => layerOf(name)?.index as number

function byKind(tensors: ReportTensor[]): [WeightKind, ReportTensor[]][] {
  const kinds = new Map<WeightKind, ReportTensor[]>()
  for (const tensor of tensors) append(kinds, weightKind(tensor.name), tensor)
  return weightKinds.flatMap((kind) => {
    const members = kinds.get(kind)
    return members ? [[kind, members] as [WeightKind, ReportTensor[]]] : []
  })
}

function append<K>(groups: Map<K, ReportTensor[]>, key: K, tensor: ReportTensor): void {
  const group = groups.get(key)
  if (group) group.push(tensor)
  else groups.set(key, [tensor])
}

function cellOf(tensors: ReportTensor[]): Cell {
  const differing = tensors.filter(({ identical }) => !identical)
  const elements = differing.reduce((sum, tensor) => sum + tensor.elements, 0)
  const kept = differing.reduce((sum, tensor) => sum + tensor.kept, 0)
  return {
    tensors,
    elements,
    kept,
    fraction: elements > 0 ? kept / elements : undefined,
    degenerate: tensors.filter(({ degenerate }) => degenerate).length,
    identical: tensors.length - differing.length,
    nonFinite: tensors.filter(({ nonFinite }) => nonFinite !== undefined).length,
  }
}

/** Every cell of a step that is drawn in colour or with a mark. */
export const cellsOf = ({ grids, outside }: StepGrids): Cell[] => [
  ...grids.flatMap(({ rows }) => rows.flatMap(({ cells }) => cells.filter((cell) => cell !== undefined))),
  ...outside,
]
