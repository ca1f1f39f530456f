// Package historycheck holds all-in-one, from outside, to what is promised of a history of readings: MQTT in, HTTP out. `make
// test` runs each check with few readings and looks at no times; `make history-check` (TEST_HISTORY=1) runs them at the sizes
// that their figures need, prints the figures, and takes most of an hour. What shows each thing that is asked of a history:
//
//	 1 every answer is exact                     services/all-in-one TestHistory, TestCharts; pkg/readings/readingstest RunExact
//	 2 killed while it seals                     services/all-in-one TestHistoryKill; make faults FAULT='seal|migrat'
//	 3 what is sealed is there once              TestLossless; pkg/readings/readingstest RunHistory
//	 4 sealing changes no bit                    TestLossless; pkg/column FuzzRoundTrip
//	 5 days of 23, 24.5 and 25 hours             TestZones; services/query-api/series TestDays
//	 6 cost does not grow with the history       TestGrowth
//	 7 bytes written to the disk                 TestWritten; services/all-in-one TestFewTransactions
//	 8 retention frees the disk                  make faults FAULT=retention; TestTooOld
//	 9 exports                                   TestExport; make examples (pandas, PyArrow, DuckDB)
//	10 imports                                   TestExport
//	11 reading across a seal and a month's end   TestReadAcrossSeals
//	12 charts for many while readings arrive     TestManyCharts
//	13 a full disk                               make faults FAULT='disk-full|enospc'
//	14 search, aggregations, wrong parameters    TestHistory; TestRefused
//	15 a spike is in max                         TestSpike
//	16 MongoDB                                   pkg/readings/mongo TestRecomputers, TestChaos; services/ingest-writer TestKilledWriters
//
// Times are those of the machine: what is asked of them is asked of one that does nothing else.
package historycheck
