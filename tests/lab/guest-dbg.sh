. tests/lab/lib.sh
begin
spawn w keep=plain:12:1
time hypertier-load -vv --comm subject --duration 5  --stats 1 --epoch 250  $range 2>&1 | cut -c1-200 | tail -60
quit w
finish
