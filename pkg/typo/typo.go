// Package typo tells a slip of the fingers from another word.
package typo

// Most is how many letters a slip has wrong, at most.
const Most = 2

// Distance is how many letters are to be typed, left out, changed or swapped with their neighbour to make b of a; where that
// is more than Most, any number above it.
func Distance(a, b string) int {
	if max(len(a), len(b))-min(len(a), len(b)) > Most {
		return Most + 1
	}
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := above[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(above[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
