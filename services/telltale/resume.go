package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// reopen opens the file that is to be gone on with, or what there is of it when it broke off, without a part of a row at its
// end, and finds out where that is.
func (e *export) reopen() error {
	name := e.goesOn
	if _, err := os.Stat(name + partial); err == nil {
		e.replaces, name = name, name+partial
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return &exitError{exitFailed, err}
	}
	if err := e.findEnd(file); err != nil {
		_ = file.Close()
		return &exitError{exitFailed, fmt.Errorf("go on with %s: %w", name, err)}
	}
	e.file = file
	return nil
}

func (e *export) findEnd(file *os.File) error {
	if e.format == "parquet" {
		return errors.New("a Parquet file has its end, or is none: export again, or into several with --since and --until")
	}
	end, header, last, err := lastRow(file, e.format == "csv")
	if err != nil {
		return err
	}
	switch {
	case e.format == "ndjson" && last != nil:
		var row struct {
			Timestamp string      `json:"timestamp"`
			Device    json.Number `json:"device_id"`
		}
		if err := json.Unmarshal(last, &row); err != nil || row.Timestamp == "" || row.Device == "" {
			return fmt.Errorf("its last line is no reading of an export: %.100s", last)
		}
		e.cursor = row.Timestamp + "," + row.Device.String()
	case e.format == "csv" && last != nil:
		names, err := csv.NewReader(bytes.NewReader(header)).Read()
		if err != nil {
			return fmt.Errorf("read its header: %w", err)
		}
		cells, err := csv.NewReader(bytes.NewReader(last)).Read()
		humidity, metrics := slices.Index(names, "humidity"), slices.Index(names, "metrics")
		if err != nil || len(cells) != len(names) || humidity != 4 || metrics < humidity || names[0] != "timestamp" || names[1] != "device_id" {
			return fmt.Errorf("its last row is none of an export: %.100s", last)
		}
		e.cursor = cells[0] + "," + cells[1]
		for _, name := range names[humidity+1 : metrics] {
			e.columns = append(e.columns, unescape(name))
		}
		if len(e.columns) == 0 {
			e.columns = []string{"temperature"} // which it has: no others
		}
	default: // a header alone is written again
		end = 0
	}
	if err := file.Truncate(end); err != nil {
		return err
	}
	_, err = file.Seek(end, io.SeekStart)
	return err
}

// unescape returns the name that a cell of an export stands for: one that a spreadsheet would compute has an apostrophe.
func unescape(cell string) string {
	bare := bytes.TrimLeft([]byte(cell), "'")
	if len(bare) > 0 && len(bare) < len(cell) && bytes.IndexByte([]byte("=+-@\t\r\n"), bare[0]) >= 0 {
		return cell[1:]
	}
	return cell
}

// lastRow returns where the last whole row of a file ends, and that row, nil where there is none; of a table also its header.
// A row of a table has line breaks within quotes.
func lastRow(file io.Reader, isTable bool) (end int64, header, last []byte, err error) {
	r := bufio.NewReaderSize(file, 1<<20)
	var row []byte
	quoted := false
	for {
		line, err := r.ReadSlice('\n')
		row = append(row, line...)
		if isTable && bytes.Count(line, []byte{'"'})%2 == 1 {
			quoted = !quoted
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return end, header, last, nil
		case err != nil:
			return 0, nil, nil, err
		case quoted:
			continue
		}
		end += int64(len(row))
		if isTable && header == nil {
			header = bytes.Clone(row)
		} else {
			last = append(last[:0], row...)
		}
		row = row[:0]
	}
}
