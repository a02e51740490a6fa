import { type Cell, type ReportInput, stepGrids } from './fractionGrid.js'

/** Tensors that are shown as one number. */
export interface HeatMapCell {
  tensors: number
  /** Of the tensors that differ between the sides, and how many of them were taken from Right. */
  elements: number
  kept: number
  /** kept / elements; null where no tensor differs. */
  fraction: number | null
  /** How many tensors have a threshold of 0 although they changed. */
  degenerate: number
  /** How many tensors hold the same bits on both sides. */
  identical: number
  /** How many tensors were kept whole because of NaN or infinity. */
  nonFinite: number
}

/** What `report` resolves to, and what its `--json` prints: the numbers of the heat map. */
export interface HeatMapRecord {
  /** Every fusion. */
  steps: {
    name: string
    total: HeatMapCell
    /** Stacks of layers, as 'model.layers'; `cells` has one place for each layer, null where there is no such tensor. */
    stacks: {
      stack: string
      layers: number[]
      rows: { kind: string; total: HeatMapCell; cells: (HeatMapCell | null)[] }[]
    }[]
    /** Tensors outside of layers. */
    outside: (HeatMapCell & { kind: string })[]
  }[]
  /** Merges by other methods, a line of text for each. */
  notDrawn: string[]
}

export function heatMapRecord(input: ReportInput): HeatMapRecord {
  return {
    steps: input.steps.map(stepGrids).map(({ name, total, grids, outside }) => ({
      name,
      total: cellRecord(total),
      stacks: grids.map(({ stack, layers, rows }) => ({
        stack,
        layers,
        rows: rows.map(({ kind, cells, total: row }) => ({
          kind,
          total: cellRecord(row),
          cells: cells.map((cell) => (cell ? cellRecord(cell) : null)),
        })),
      })),
      outside: outside.map((cell) => ({ kind: cell.kind, ...cellRecord(cell) })),
    })),
    notDrawn: input.notDrawn,
  }
}

function cellRecord({ tensors, elements, kept, fraction, degenerate, identical, nonFinite }: Cell): HeatMapCell {
  return { tensors: tensors.length, elements, kept, fraction: fraction ?? null, degenerate, identical, nonFinite }
}
