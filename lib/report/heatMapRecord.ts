import { type Cell, type ReportInput, stepGrids } from './fractionGrid.js'

/** What `report --json` prints: the numbers of the heat map. */
export function heatMapRecord(input: ReportInput) {
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

function cellRecord({ tensors, elements, kept, fraction, degenerate, identical, nonFinite }: Cell) {
  return { tensors: tensors.length, elements, kept, fraction: fraction ?? null, degenerate, identical, nonFinite }
}
