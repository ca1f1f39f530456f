import type { ComponentChildren } from "preact";
import { text } from "../text";
import { Failure } from "./failure";
import type { List } from "./list";

export interface Column<T> {
  head: string;
  cell: (row: T) => ComponentChildren;
  number?: boolean;
}

interface TableProps<T> {
  label: string;
  columns: (Column<T> | false)[]; // the first says what the row is
  rows: T[];
  id: (row: T) => string | number;
}

// Table is a table that is a list of cards on a narrow screen. The roles say that it is a table there too.
export function Table<T>({ label, columns: all, rows, id }: TableProps<T>) {
  const columns = all.filter((column) => column !== false);
  return (
    <table class="stacked" role="table">
      <caption class="hidden">{label}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((column) => (
            <th key={column.head} scope="col" role="columnheader" class={column.number ? "number" : ""}>
              {column.head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={id(row)} role="row">
            {columns.map((column, i) =>
              i === 0 ? (
                <th key={column.head} scope="row" role="rowheader">
                  {column.cell(row)}
                </th>
              ) : (
                <td key={column.head} role="cell" data-label={column.head} class={column.number ? "number" : ""}>
                  {column.cell(row)}
                </td>
              ),
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

// ListTable is a table of a list of the API, with a button for its next page.
export function ListTable<T extends { id: string | number }>({ list, none, ...table }: { list: List<T>; none: string } & Omit<TableProps<T>, "rows" | "id">) {
  const items = list.items.value;
  return (
    <section aria-busy={list.busy}>
      {list.failure.value !== null && <Failure message={list.failure.value} again={list.again} />}
      {items === null ? list.failure.value === null && <p class="quiet">{text.loading}</p> : items.length === 0 ? <p>{none}</p> : <Table {...table} rows={items} id={(row) => row.id} />}
      {list.next.value !== null && (
        <p>
          <button type="button" disabled={list.busy} onClick={list.more}>
            {text.more}
          </button>
        </p>
      )}
    </section>
  );
}
