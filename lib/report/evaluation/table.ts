/** A table of models, in no format yet. */
export interface Table {
  /** For file names and labels. */
  name: string
  title: string
  /** What the rows are: models, mostly. */
  rowHeader: string
  rows: readonly string[]
  groups: readonly ColumnGroup[]
  notes: readonly string[]
}

/** Columns that belong together, such as those of a benchmark. */
export interface ColumnGroup {
  name: string
  columns: readonly Column[]
}

export interface Column {
  header: string
  /** One for each row. */
  cells: readonly Cell[]
}

export interface Cell {
  text: string
  /** The best of its column, and by more than chance. */
  best?: boolean
  /** What it is sorted by, where that is a number. */
  value?: number | undefined
}

export const emptyCell: Cell = { text: '-' }
